package optimize

import "time"

// Progress is told how far Run has come. Calls come from one goroutine at a time, a few
// per second at most.
type Progress interface {
	Update(Event)
}

// Event is a state of a running optimization.
type Event struct {
	Stage string // what is being done, as in "calibrate"
	Done  int    // units of the stage that are done
	Total int    // units of the stage, 0 while unknown
	Note  string // a finding worth a line of its own; the other fields are then unset

	Warning string // one that the report will repeat; the other fields are then unset
}

// reporter turns counts into events, no more often than people can read.
type reporter struct {
	to    Progress
	stage string
	last  time.Time
	total int
}

const reportEvery = 100 * time.Millisecond

// begin opens a stage.
func (r *reporter) begin(stage string, total int) {
	r.stage, r.total, r.last = stage, total, time.Time{}
	r.done(0)
}

// done reports that n units of the stage are done.
func (r *reporter) done(n int) {
	now := time.Now()
	if r.to == nil || n != r.total && now.Sub(r.last) < reportEvery {
		return
	}
	r.last = now
	r.to.Update(Event{Stage: r.stage, Done: n, Total: r.total})
}

func (r *reporter) note(s string) {
	if r.to != nil {
		r.to.Update(Event{Note: s})
	}
}

func (r *reporter) warning(s string) {
	if r.to != nil {
		r.to.Update(Event{Warning: s})
	}
}
