package cli

import (
	"fmt"
	"io"
	"os"
	"time"
)

// progress shows how far a long job has come: one line that is rewritten on a terminal,
// elsewhere one line for each stage.
type progress struct {
	w        io.Writer
	terminal bool
	quiet    bool

	stage   string
	started time.Time
	drawn   time.Time
	shown   bool
}

func newProgress(w io.Writer) *progress { return &progress{w: w, terminal: isTerminal(w)} }

// isTerminal reports whether w is a device that a person looks at.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok || os.Getenv("TERM") == "dumb" {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && f.Name() != os.DevNull
}

// redraw is the least time between two states of the line.
const redraw = 100 * time.Millisecond

// at tells that done of total parts of a stage are finished; total ≤ 0 where it is not
// known.
func (p *progress) at(stage string, done, total int) {
	if p.quiet {
		return
	}
	now := time.Now()
	fresh := stage != p.stage
	if fresh {
		p.clear()
		p.stage, p.started = stage, now
		if !p.terminal {
			fmt.Fprintf(p.w, "edgewise: %s\n", stage)
			return
		}
	}
	if !p.terminal || !fresh && now.Sub(p.drawn) < redraw && done != total {
		return
	}
	p.drawn, p.shown = now, true
	fmt.Fprintf(p.w, "\r\x1b[K%s", stage)
	if total > 0 {
		fmt.Fprintf(p.w, " %d/%d", done, total)
	}
	switch d := now.Sub(p.started); {
	case d <= 2*time.Second:
	case 0 < done && done < total:
		left := time.Duration(float64(d) / float64(done) * float64(total-done))
		fmt.Fprintf(p.w, " (%s, about %s left)", d.Round(time.Second), left.Round(time.Second))
	default:
		fmt.Fprintf(p.w, " (%s)", d.Round(time.Second))
	}
}

// sparse is the least time between lines where nobody may be looking.
const sparse = 30 * time.Second

// line shows a line of its own making. Lines that are to stay are written as such; the
// others are seen on a terminal as long as nothing follows, elsewhere now and then.
func (p *progress) line(text string, stay bool) {
	now := time.Now()
	switch {
	case p.quiet:
	case stay || !p.terminal && !p.drawn.IsZero() && now.Sub(p.drawn) >= sparse:
		p.clear()
		p.drawn = now
		fmt.Fprintf(p.w, "edgewise: %s\n", text)
	case !p.terminal && p.drawn.IsZero():
		p.drawn = now
	case p.terminal && now.Sub(p.drawn) >= redraw:
		p.drawn, p.shown = now, true
		fmt.Fprintf(p.w, "\r\x1b[K%s", text)
	}
}

// clear removes the line, so that other output can follow.
func (p *progress) clear() {
	if p.shown {
		fmt.Fprint(p.w, "\r\x1b[K")
		p.shown = false
	}
}
