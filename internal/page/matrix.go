package page

import "fmt"

// Matrix is a confusion table with shades.
type Matrix struct {
	Title   string
	Classes []string
	Rows    []Row
}

// Row is that of a true class.
type Row struct {
	Class string
	Cells []Cell
	Right string // share of the row that is right
}

// Cell is a count with its shade.
type Cell struct {
	N        int
	Opacity  string
	Diagonal bool
}

// Shade makes a table of counts by true class and decision and colours each cell by its share of the row.
func Shade(title string, names []string, counts [][]int) Matrix {
	m := Matrix{Title: title, Classes: names}
	if len(names) != len(counts) {
		m.Classes = make([]string, len(counts))
		for i := range m.Classes {
			m.Classes[i] = fmt.Sprint(i)
		}
	}
	for i, row := range counts {
		total := 0
		for _, n := range row {
			total += n
		}
		x := Row{Class: m.Classes[i], Right: "–"}
		if total > 0 {
			x.Right = fmt.Sprintf("%.1f %%", 100*float64(row[i])/float64(total))
		}
		for k, n := range row {
			o := 0.0
			if total > 0 {
				o = float64(n) / float64(total)
			}
			if n > 0 && k != i {
				o = min(1, 0.12+2*o) // errors are rare; let them be seen
			}
			x.Cells = append(x.Cells, Cell{n, fmt.Sprintf("%.2f", 0.55*o), k == i})
		}
		m.Rows = append(m.Rows, x)
	}
	return m
}

// Matrices writes tables of decisions beside each other.
func (p *Page) Matrices(all ...Matrix) {
	p.Put(`<div class="matrices">`)
	for _, m := range all {
		p.Put(`<figure><figcaption>%s: rows are the true class</figcaption><div class="scroll"><table class="matrix">
<tr><th></th>`, m.Title)
		for _, class := range append(m.Classes[:len(m.Classes):len(m.Classes)], "right") {
			p.Put("<th><span>%s</span></th>", class)
		}
		p.Put("</tr>\n")
		for _, r := range m.Rows {
			p.Put(`<tr><th scope="row">%s</th>`, r.Class)
			for _, x := range r.Cells {
				class := "cell"
				if x.Diagonal {
					class = "cell d"
				}
				p.Put(`<td class="%s"><i style="opacity:%s"></i><b>%d</b></td>`, class, x.Opacity, x.N)
			}
			p.Put("<td>%s</td></tr>\n", r.Right)
		}
		p.Put("</table></div></figure>")
	}
	p.Put("</div>\n")
}
