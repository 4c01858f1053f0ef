package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/edgewise-ml/edgewise/test/reference/npz"
	"github.com/edgewise-ml/edgewise/test/reference/session"
)

// request is one line of the serve protocol and, by its flags, one verb of the
// command line. Paths are this process's; arrays travel in npz files.
type request struct {
	ID        int64  `json:"id"`
	Op        string `json:"op"` // run, bench, check, info
	Lib       string `json:"lib"`
	Model     string `json:"model"`
	Inputs    string `json:"inputs"`
	Outputs   string `json:"outputs"`
	Optimize  string `json:"optimize"`
	Threads   int    `json:"threads"`
	Runs      int    `json:"runs"`
	Samples   bool   `json:"samples"`
	KeepState bool   `json:"keep_state"`
	// Fresh opens the model anew, for networks that keep state in resources.
	Fresh  bool   `json:"fresh"`
	Shapes shapes `json:"shapes"`
}

// reply answers the request of the same id. Error is empty on success.
type reply struct {
	ID     int64  `json:"id"`
	Error  string `json:"error,omitempty"`
	Result any    `json:"result,omitempty"`
}

// maxOpen bounds the sessions kept between requests.
const maxOpen = 4

// server keeps runtimes loaded and the last few models open.
type server struct {
	libs map[string]session.Library
	open []opened // least recently used first
}

// opened is keyed by everything that makes a session what it is; time and size
// tell a rewritten model file from the old one.
type opened struct {
	key     string
	session session.Session
}

func newServer() *server { return &server{libs: map[string]session.Library{}} }

// serve answers requests in order until the input ends.
func (s *server) serve(r io.Reader, w io.Writer) error {
	lines := bufio.NewReader(r)
	enc := json.NewEncoder(w)
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) && len(line) == 0 {
			return nil
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		var q request
		var a reply
		if err := json.Unmarshal(line, &q); err != nil {
			a.Error = fmt.Sprintf("bad request: %v", err)
		} else if a.Result, err = s.do(q); err != nil {
			a.Error = err.Error()
		}
		a.ID = q.ID
		if err := enc.Encode(a); err != nil {
			return err
		}
	}
}

// do carries out one request and returns its result, nil where it has none.
func (s *server) do(q request) (any, error) {
	if q.Model == "" {
		return nil, errors.New("no model given")
	}
	if q.Lib == "" {
		q.Lib = libFor(q.Model)
	}
	q.Threads = max(q.Threads, 1)
	if q.Op == "bench" {
		return s.bench(q)
	}
	ses, err := s.session(q)
	if err != nil {
		return nil, fmt.Errorf("%s: %s: %w", q.Lib, q.Model, err)
	}
	switch q.Op {
	case "check":
		return map[string]any{"lib": q.Lib, "model": q.Model, "accepted": true}, nil
	case "info":
		return map[string]any{"inputs": ses.Inputs(), "outputs": ses.Outputs()}, nil
	case "run":
		if err := run(ses, q); err != nil {
			return nil, err
		}
		dtypes := map[string]string{}
		for i, key := range session.Keys(ses.Outputs()) {
			dtypes[key] = ses.Outputs()[i].DType
		}
		return map[string]any{"dtypes": dtypes}, nil
	}
	return nil, fmt.Errorf("unknown verb %q", q.Op)
}

func run(ses session.Session, q request) error {
	if q.Outputs == "" {
		return errors.New("run needs a file for its outputs")
	}
	inputs, err := arrays(ses, q)
	if err != nil {
		return err
	}
	var outputs map[string]*npz.Array
	if q.Samples {
		outputs, err = session.RunSamples(ses, inputs, q.KeepState)
	} else {
		if !q.KeepState {
			err = ses.Reset()
		}
		if err == nil {
			outputs, err = session.Run(ses, inputs)
		}
	}
	if err != nil {
		return fmt.Errorf("%s: %s: %w", q.Lib, q.Model, err)
	}
	return npz.WriteFile(q.Outputs, outputs)
}

// arrays reads the request's inputs, or makes pseudo-random ones.
func arrays(ses session.Session, q request) (map[string]*npz.Array, error) {
	if q.Inputs == "" {
		return session.Fill(ses.Inputs(), q.Shapes)
	}
	return npz.ReadFile(q.Inputs)
}

// library loads a runtime once.
func (s *server) library(name string) (session.Library, error) {
	if l := s.libs[name]; l != nil {
		return l, nil
	}
	l, err := load(name)
	if err == nil {
		s.libs[name] = l
	}
	return l, err
}

// session returns the open session for the request, opening it where needed.
func (s *server) session(q request) (session.Session, error) {
	info, err := os.Stat(q.Model)
	if err != nil {
		return nil, err
	}
	key := fmt.Sprintf("%s %s %d %d %d %s", q.Lib, q.Model, info.Size(), info.ModTime().UnixNano(), q.Threads, q.Optimize)
	if i := slices.IndexFunc(s.open, func(o opened) bool { return o.key == key }); i >= 0 {
		o := s.open[i]
		s.open = slices.Delete(s.open, i, i+1)
		if !q.Fresh {
			s.open = append(s.open, o)
			return o.session, nil
		}
		o.session.Close()
	}
	lib, err := s.library(q.Lib)
	if err != nil {
		return nil, err
	}
	ses, err := lib.Open(q.Model, session.Options{Threads: q.Threads, Optimize: q.Optimize})
	if err != nil {
		return nil, err
	}
	s.open = append(s.open, opened{key, ses})
	if len(s.open) > maxOpen {
		s.open[0].session.Close()
		s.open = slices.Delete(s.open, 0, 1)
	}
	return ses, nil
}
