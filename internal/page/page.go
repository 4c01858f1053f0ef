// Package page writes reports: one file of HTML that needs nothing else, in light and dark,
// for wide and narrow screens.
//
// It is done by functions and not by html/template, whose use of reflection would keep every
// exported method of the program: see docs/rationale.md.
package page

import (
	"bytes"
	_ "embed"
	"fmt"
	"strings"
)

//go:embed page.css
var style string

//go:embed page.js
var script string

// Markup stands in a page as it is; every other text is escaped.
type Markup string

// Page is a page while it is written.
type Page struct{ b bytes.Buffer }

// Bytes returns what has been written.
func (p *Page) Bytes() []byte { return p.b.Bytes() }

// Begin writes all that comes before the contents.
func (p *Page) Begin(title string) {
	p.Put(`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>%s</title>
<style>
%s</style>
</head>
<body>
<main>
`, title, Markup(style))
}

// End writes all that comes after the contents, with the data of the page as JSON, in which
// json.Marshal has escaped <, > and &.
func (p *Page) End(data Markup) {
	p.Put(`<p><button id="copy" hidden>copy the data of this page as JSON</button></p>
</main>
<script type="application/json" id="data">%s</script>
<script>
%s</script>
</body>
</html>
`, data, Markup(script))
}

// Put writes a format of markup whose arguments are escaped, numbers and Markup apart.
func (p *Page) Put(format string, args ...any) {
	for i, a := range args {
		switch a.(type) {
		case Markup, int, int64, uint64, float64:
		default:
			args[i] = Escape(fmt.Sprint(a))
		}
	}
	fmt.Fprintf(&p.b, format, args...)
}

// Table writes rows under a head, of which names that begin with "#" are numbers.
func (p *Page) Table(class string, head []string, rows func()) {
	p.Put("<table%s><thead><tr>", Attribute("class", class))
	for _, h := range head {
		if name, number := strings.CutPrefix(h, "#"); number {
			p.Put(`<th class="n">%s</th>`, name)
		} else {
			p.Put("<th>%s</th>", h)
		}
	}
	p.Put("</tr></thead><tbody>\n")
	rows()
	p.Put("</tbody></table>\n")
}

// Attribute is an attribute of an element, nothing where it is empty.
func Attribute(name, value string) Markup {
	if value == "" {
		return ""
	}
	return Markup(fmt.Sprintf(` %s="%s"`, name, Escape(value)))
}

// Numbers writes cells of figures.
func (p *Page) Numbers(cells ...string) {
	for _, c := range cells {
		p.Put(`<td class="n">%s</td>`, c)
	}
}
