package train

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"slices"

	"github.com/edgewise-ml/edgewise/internal/atomicfile"
	"github.com/edgewise-ml/edgewise/tensor"
)

// A checkpoint is one npz file, written whole or not at all: the states by number, those of
// the best epoch, and under "position" the progress as JSON with what identifies the
// training. A file of another training is refused rather than continued.

// PositionKey names the array by which a checkpoint is told from other npz files.
const PositionKey = "position"

// saved is the JSON part of a checkpoint.
type saved struct {
	Training string // digest of what the training is
	Samples  int
	Position position
}

// ErrOther says that a checkpoint belongs to another training.
var ErrOther = errors.New("it belongs to another training: another network, data, recipe, number of threads or instruction set")

// Identity digests all that decides what the weights become.
func (t *Trainer) Identity() string {
	if t.identity == "" {
		t.identity = t.digest()
	}
	return t.identity
}

func (t *Trainer) digest() string {
	h := sha256.New()
	c := t.cfg
	s := c.Spec
	fmt.Fprintln(h, s.Batch, s.Soft, s.Clip, s.Average, s.Accumulate, s.FrozenStatistics, c.Epochs, c.Seed, c.Start, c.Threads, t.plan.Level(), c.Also, c.Judge, c.Least)
	for _, v := range []any{s.Loss, s.Optimizer, c.Schedule, c.Augment} {
		b, err := json.Marshal(v)
		if err != nil { // NaN and infinities, which validation lets through nowhere
			fmt.Fprint(h, v)
		}
		h.Write(b)
	}
	for _, st := range t.program.States {
		fmt.Fprintln(h, st.Name, st.Kind)
		h.Write(st.Init.Bytes())
	}
	for _, v := range t.program.Graph.Constants() { // frozen weights, and those of a teacher
		h.Write(v.Const.Bytes())
	}
	io.WriteString(h, t.program.Graph.String())
	if t.program.Update != nil {
		io.WriteString(h, t.program.Update.String())
	}
	return hex.EncodeToString(h.Sum(nil))
}

func (t *Trainer) save() error {
	if t.cfg.Checkpoint == "" {
		return nil
	}
	p := t.at
	if math.IsInf(p.BestMark, 0) {
		p.BestMark = -math.MaxFloat64 // JSON has no infinity
	}
	text, err := json.Marshal(saved{t.Identity(), t.samples, p})
	if err != nil {
		return err
	}
	files := map[string]*tensor.Tensor{PositionKey: tensor.Of(text, len(text))}
	for i, s := range t.states {
		files[fmt.Sprint("state", i)] = s
	}
	for i, s := range t.best {
		files[fmt.Sprint("best", i)] = s
	}
	return atomicfile.Write(t.cfg.Checkpoint, func(w io.Writer) error { return tensor.WriteNPZ(w, files) })
}

// resume takes up the training of the checkpoint, if there is one.
func (t *Trainer) resume() (bool, error) {
	if t.cfg.Checkpoint == "" {
		return false, nil
	}
	files, err := tensor.ReadNPZFile(t.cfg.Checkpoint)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("checkpoint %s: %w", t.cfg.Checkpoint, err)
	}
	if err := t.restore(files); err != nil {
		return false, fmt.Errorf("checkpoint %s: %w", t.cfg.Checkpoint, err)
	}
	return true, nil
}

func (t *Trainer) restore(files map[string]*tensor.Tensor) error {
	text := files[PositionKey]
	if text == nil || text.DType() != tensor.Uint8 {
		return errors.New("it is no checkpoint")
	}
	var s saved
	if err := json.Unmarshal(text.Bytes(), &s); err != nil {
		return fmt.Errorf("it is damaged: %w", err)
	}
	if s.Training != t.Identity() || s.Samples != t.samples {
		return ErrOther
	}
	load := func(key string, into []*tensor.Tensor) error {
		for i, have := range into {
			x := files[fmt.Sprint(key, i)]
			if x == nil || x.DType() != have.DType() || !slices.Equal(x.Shape(), have.Shape()) {
				return fmt.Errorf("it is damaged: %s %d is %v, want %v", key, i, x, have)
			}
			copy(have.Bytes(), x.Bytes())
		}
		return nil
	}
	if err := load("state", t.states); err != nil {
		return err
	}
	if files["best0"] != nil {
		t.best = make([]*tensor.Tensor, len(t.states))
		for i, st := range t.states {
			t.best[i] = st.Clone()
		}
		if err := load("best", t.best); err != nil {
			return err
		}
	}
	if s.Position.Epoch < 0 || s.Position.Epoch > t.cfg.Epochs || s.Position.Step < 0 {
		return errors.New("it is damaged: its position lies outside the training")
	}
	t.at = s.Position
	return nil
}
