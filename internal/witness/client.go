package witness

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
)

// request is one line to the witness; see its serve verb for the fields.
type request struct {
	ID        int64  `json:"id"`
	Op        string `json:"op"`
	Lib       string `json:"lib"`
	Model     string `json:"model"`
	Inputs    string `json:"inputs,omitempty"`
	Outputs   string `json:"outputs,omitempty"`
	Optimize  string `json:"optimize,omitempty"`
	Threads   int    `json:"threads,omitempty"`
	Runs      int    `json:"runs,omitempty"`
	Samples   bool   `json:"samples,omitempty"`
	KeepState bool   `json:"keep_state,omitempty"`
	Fresh     bool   `json:"fresh,omitempty"`
}

type reply struct {
	ID     int64           `json:"id"`
	Error  string          `json:"error"`
	Result json.RawMessage `json:"result"`
}

// Client owns one witness process, started on first use and again after a crash.
// It is safe for concurrent use; requests are answered one after another.
type Client struct {
	exe string

	mu      sync.Mutex
	process *process // nil while none runs
	lastID  int64
}

// process is a running witness. It ends by itself when this process does, since
// that closes its standard input.
type process struct {
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Reader
	stderr *os.File // already unlinked
}

// New returns a client of the witness program at exe.
func New(exe string) *Client { return &Client{exe: exe} }

// Close ends the witness process. A later call starts another.
func (c *Client) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.process == nil {
		return nil
	}
	p := c.process
	c.process = nil
	p.in.Close()
	return errors.Join(p.cmd.Wait(), p.stderr.Close())
}

// start runs the witness. Its standard error goes to a file rather than a pipe,
// so that no goroutine outlives a test.
func (c *Client) start() (*process, error) {
	stderr, err := os.CreateTemp("", "witness-stderr-")
	if err != nil {
		return nil, err
	}
	os.Remove(stderr.Name())
	cmd := exec.Command(c.exe, "serve")
	cmd.Stderr = stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, errors.Join(err, stderr.Close())
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, errors.Join(err, stderr.Close())
	}
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start witness: %w", err), stderr.Close())
	}
	return &process{cmd: cmd, in: in, out: bufio.NewReader(out), stderr: stderr}, nil
}

// roundTrip sends the request and returns the result of its reply.
func (c *Client) roundTrip(q request) (json.RawMessage, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.process == nil {
		p, err := c.start()
		if err != nil {
			return nil, err
		}
		c.process = p
	}
	c.lastID++
	q.ID = c.lastID
	line, err := json.Marshal(q)
	if err != nil {
		return nil, err
	}
	if _, err = c.process.in.Write(append(line, '\n')); err == nil {
		line, err = c.process.out.ReadBytes('\n')
	}
	var a reply
	if err == nil {
		err = json.Unmarshal(line, &a)
	}
	if err == nil && a.ID != q.ID {
		err = fmt.Errorf("reply %d to request %d", a.ID, q.ID)
	}
	if err != nil {
		return nil, c.bury(q, err)
	}
	if a.Error != "" {
		return nil, errors.New(a.Error)
	}
	return a.Result, nil
}

// bury ends a process that no longer answers and reports what it said last.
func (c *Client) bury(q request, cause error) error {
	p := c.process
	c.process = nil
	p.in.Close()
	p.cmd.Process.Kill()
	state := p.cmd.Wait()
	const tail = 2000
	said := make([]byte, tail)
	size, _ := p.stderr.Seek(0, io.SeekEnd)
	n, _ := p.stderr.ReadAt(said, max(size-tail, 0))
	p.stderr.Close()
	return fmt.Errorf("witness died in %s of %s by %s: %w (%v) %s",
		q.Op, q.Model, q.Lib, cause, state, strings.TrimSpace(string(said[:n])))
}
