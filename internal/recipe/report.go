package recipe

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/edgewise-ml/edgewise/internal/page"
	"github.com/edgewise-ml/edgewise/internal/train"
)

// Headline says in one line what came of a training.
func (r *Result) Headline() string {
	s := r.Recipe + ": "
	score, part := r.Test, "test"
	if score == nil {
		score, part = r.Validation, "validation"
	}
	switch {
	case score == nil:
		return s + fmt.Sprintf("trained for %s, not judged", page.Counted(r.Epochs, "epoch"))
	case score.Accuracy != nil:
		s += fmt.Sprintf("%.2f %% right", 100**score.Accuracy)
	default:
		s += fmt.Sprintf("RMSE %.4g", *score.RMSE)
	}
	return s + fmt.Sprintf(" on %s %s samples", page.Thousands(int64(score.Samples)), part)
}

// HTML returns report.html: one page that needs nothing else.
func (r *Result) HTML() ([]byte, error) {
	data, err := json.Marshal(r) // escapes <, > and &, so it can stand in a script element
	if err != nil {
		return nil, err
	}
	s := &sheet{Result: r}
	s.Begin(r.Recipe + ": edgewise train")
	s.summary()
	s.integers()
	s.curves()
	s.decisions()
	s.epochs()
	s.how()
	s.End(page.Markup(data))
	return s.Page.Bytes(), nil
}

// sheet is the report while it is written.
type sheet struct {
	page.Page
	*Result
}

func (s *sheet) summary() {
	kept, test := "the last, as there is no validation part to choose by", "looked at after each epoch, chose nothing"
	if s.Validation != nil {
		kept, test = "the best by the validation part", "seen at no time in training"
	}
	s.Put("<h1>%s</h1>\n<p class=\"soft\">The weights of epoch %d of %d: %s.</p>\n<div class=\"cards\">\n", s.Headline(), s.Epoch, s.Epochs, kept)
	for _, part := range []struct {
		name, note string
		score      *Score
	}{{"test", test, s.Test}, {"validation", "chose the epoch, so it flatters", s.Validation}} {
		if part.score != nil {
			s.card(part.name, part.score.String(), page.Thousands(int64(part.score.Samples))+" samples, "+part.note)
		}
	}
	if n := len(s.History); n > 0 {
		s.card("loss", fmt.Sprintf("%.4f", s.History[n-1].Loss), fmt.Sprintf("mean of the last epoch; %.4f of the first", s.History[0].Loss))
	}
	s.card("model", page.SizeText(s.Result.Bytes), s.Model+", normalizations folded")
	s.card("time", durationText(s.seconds()), fmt.Sprintf("%s, %s samples a second of training", page.Counted(s.Threads, "thread"), page.Thousands(int64(s.speed()))))
	s.Put("</div>\n")
}

func (s *sheet) card(title, figure, note string) {
	s.Put(`<div class="card"><h3>%s</h3><div class="change">%s</div><div class="note">%s</div></div>
`, title, figure, note)
}

// String writes the figures of a score.
func (s *Score) String() string {
	if s.Accuracy != nil {
		return fmt.Sprintf("%.2f %%", 100**s.Accuracy)
	}
	return fmt.Sprintf("RMSE %.4g, MAE %.4g", *s.RMSE, *s.MAE)
}

// integers compares a network that was trained for integers with what it set out from.
func (s *sheet) integers() {
	q := s.Quantization
	if q == nil {
		return
	}
	s.Put("<h2>Integers against floating point</h2>\n")
	s.Table("", []string{"network", "#validation", "#test"}, func() {
		for _, row := range []struct {
			name  string
			parts Parts
		}{{"floating point, as given", q.Float}, {"quantized without training (" + q.Start + ")", q.PostTraining}, {"as written", Parts{s.Validation, s.Test}}} {
			s.Put("<tr><td>%s</td>", row.name)
			for _, score := range []*Score{row.parts.Validation, row.parts.Test} {
				text := "–"
				if score != nil {
					text = score.String()
				}
				s.Numbers(text)
			}
			s.Put("</tr>\n")
		}
	})
	s.Put("<p class=\"note\">Weights of %d bits; %s compute on integers, %d in floating point.", q.Bits, page.Counted(q.Layers, "layer"), q.Kept)
	if !q.Trained {
		s.Put(" No epoch was better than the start, which is kept.")
	}
	s.Put("</p>\n")
}

// curve collects a figure of all epochs; those that have none are left out.
func (s *sheet) curve(name, class string, of func(train.EpochRecord) (float64, bool)) page.Series {
	c := page.Series{Name: name, Class: class}
	for _, h := range s.History {
		if v, ok := of(h); ok {
			c.X, c.Y = append(c.X, float64(h.Epoch)), append(c.Y, v)
		}
	}
	return c
}

func (s *sheet) curves() {
	s.Put("<div class=\"charts\">\n")
	s.chart("Loss", "", "mean over the steps of each epoch, on varied samples", s.curve("training", "a", func(h train.EpochRecord) (float64, bool) { return h.Loss, true }))
	for _, name := range s.metrics() {
		part, metric, _ := strings.Cut(name, "_")
		unit, factor := "", 1.0
		if metric == "accuracy" {
			unit, factor = "%", 100
		}
		title := strings.ToUpper(metric)
		if metric == "accuracy" {
			title = "Accuracy"
		}
		note := "of the network as it is deployed, one sample at a time, after each epoch"
		if part == "test" {
			note += "; looked at, not chosen by"
		}
		s.chart(title, unit, note, s.curve(part, "b", func(h train.EpochRecord) (float64, bool) { v, ok := h.Metrics[name]; return factor * v, ok }))
	}
	rate := page.Series{Name: "rate", Class: "c"}
	for i, v := range s.Rates {
		rate.X, rate.Y = append(rate.X, float64(i)*float64(s.Epochs)/float64(max(len(s.Rates)-1, 1))), append(rate.Y, v)
	}
	s.chart("Learning rate", "", "over the steps of all epochs", rate)
	s.Put("</div>\n")
}

func (s *sheet) chart(title, unit, note string, c page.Series) {
	if picture := page.Chart(title+" by epoch", "epoch", unit, []page.Series{c}); picture != "" {
		if unit != "" {
			title += ", " + unit
		}
		s.Put("<div><h2>%s</h2>\n<figure class=\"plot\">%s\n<figcaption>%s</figcaption></figure></div>\n", title, picture, page.Key(c, note))
	}
}

// metrics lists the names of what was measured after epochs.
func (s *sheet) metrics() []string {
	var out []string
	for _, h := range s.History {
		for name := range h.Metrics {
			if !slices.Contains(out, name) {
				out = append(out, name)
			}
		}
	}
	slices.Sort(out)
	return out
}

// mostShown is the greatest number of classes whose decisions fit a page.
const mostShown = 20

func (s *sheet) decisions() {
	score, part := s.Test, "test"
	if score == nil {
		score, part = s.Validation, "validation"
	}
	if score == nil || score.Confusion == nil || len(score.Confusion) > mostShown {
		return
	}
	s.Put("<h2>Decisions by class</h2>\n")
	s.Matrices(page.Shade(part, s.Classes, score.Confusion))
}

func (s *sheet) epochs() {
	names := s.metrics()
	s.Put("<h2>Epochs</h2>\n<details><summary>%s with their figures</summary>\n<div class=\"scroll\">", page.Counted(len(s.History), "epoch"))
	head := []string{"#epoch", "#loss", "#last rate", "#seconds"}
	for _, n := range names {
		head = append(head, "#"+strings.ReplaceAll(n, "_", " "))
	}
	s.Table("", head, func() {
		for _, h := range s.History {
			class := page.Markup("")
			if h.Epoch == s.Epoch {
				class = page.Attribute("class", "picked")
			}
			s.Put("<tr%s>", class)
			s.Numbers(fmt.Sprint(h.Epoch), fmt.Sprintf("%.4f", h.Loss), fmt.Sprintf("%.3g", h.Rate), fmt.Sprintf("%.1f", h.Seconds))
			for _, n := range names {
				v, ok := h.Metrics[n]
				text := "–"
				if ok && strings.HasSuffix(n, "_accuracy") {
					text = fmt.Sprintf("%.2f %%", 100*v)
				} else if ok {
					text = fmt.Sprintf("%.4g", v)
				}
				s.Numbers(text)
			}
			s.Put("</tr>\n")
		}
	})
	s.Put("</div></details>\n")
}

// how lists what the figures depend on.
func (s *sheet) how() {
	s.Put("<h2>How</h2>\n<dl>\n")
	entry := func(name, format string, args ...any) {
		s.Put("<dt>%s</dt><dd>", name)
		s.Put(format+"</dd>\n", args...)
	}
	entry("network", "%s: %s trained values", s.Network, page.Thousands(int64(s.Parameters)))
	entry("data", "%s; %s trained on", s.Data, page.Counted(s.Trained, "sample"))
	entry("preprocessing", "%s", s.Preprocess)
	entry("memory plan", "%s: %s for the tensors of a step, %s for constants, %s for trained weights and what the optimizer keeps of them, %s for batches, %s for the program; decoded samples up to %s besides",
		page.SizeText(s.Memory.Total), page.SizeText(s.Memory.Arena), page.SizeText(s.Memory.Weights), page.SizeText(s.Memory.State),
		page.SizeText(s.Memory.Batches), page.SizeText(s.Memory.Program), page.SizeText(s.Memory.Samples))
	m := &s.Machine
	entry("machine", "%s (%s), %s/%s, %d cores", m.CPU, m.ISA, m.OS, m.Arch, m.Cores)
	entry("made by", "edgewise %s, %s", s.Version, s.Created.Format("2006-01-02 15:04 MST"))
	entry("recipe", "digest %s<br><span class=\"soft\">the same recipe, data, number of threads and instruction set make the same bytes</span>", s.Digest)
	s.Put("</dl>\n")
	if s.Text != "" {
		s.Put("<pre>%s</pre>\n", s.Text)
	}
}

// seconds returns how long the epochs took.
func (r *Result) seconds() float64 {
	t := 0.0
	for _, h := range r.History {
		t += h.Seconds
	}
	return t
}

// speed returns the samples of training a second, evaluation included.
func (r *Result) speed() float64 {
	if t := r.seconds(); t > 0 {
		return float64(r.Trained) * float64(len(r.History)) / t
	}
	return 0
}

func durationText(seconds float64) string {
	switch n := int(seconds + 0.5); {
	case n < 120:
		return fmt.Sprintf("%.3g s", seconds)
	case n < 7200:
		return fmt.Sprintf("%d min %d s", n/60, n%60)
	default:
		return fmt.Sprintf("%d h %d min", n/3600, n/60%60)
	}
}
