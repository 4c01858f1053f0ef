package engine

import (
	"bytes"
	"context"
	"encoding/binary"
	"hash/crc32"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/op"
	"github.com/edgewise-ml/edgewise/tensor"
	"pgregory.net/rapid"
)

// sealable is a small network with weights that are packed, weights that are not, a
// branch and strings.
func sealable() *graph.Graph {
	g := graph.New("sealable")
	g.Meta["labels"] = "a,b"
	x := g.Input("x", graph.TensorType(tensor.Float32, 1, 3, 8, 8))
	c := g.Add("Conv", "conv", graph.Attrs{"pads": []int64{1, 1, 1, 1}}, x, g.Constant("w", random(2, 6, 3, 3, 3)), g.Constant("b", random(3, 6)))
	r := g.Add("Relu", "relu", nil, c)
	d := g.Add("Conv", "dw", graph.Attrs{"group": int64(6), "pads": []int64{1, 1, 1, 1}}, r, g.Constant("dw_w", random(4, 6, 1, 3, 3)))
	s := g.Add("Add", "scaled", nil, d, g.Constant("offset", random(5, 6, 1, 8)))
	m := g.Add("GlobalAveragePool", "mean", nil, s)
	f := g.Add("Flatten", "flat", nil, m)
	w := g.Constant("fc", random(6, 6, 4))
	y := g.Add("MatMul", "logits", nil, f, w)
	then, other := g.NewBody("then"), g.NewBody("else")
	then.Output(then.Add("Neg", "neg", nil, y))
	other.Output(other.Add("MatMul", "again", nil, f, w))
	some := g.Add("Greater", "positive", nil, g.Add("ReduceSum", "sum", graph.Attrs{"keepdims": int64(0)}, y), g.Constant("zero", tensor.Scalar(float32(0))))
	n := g.NewNode("If", "", "choice", graph.Attrs{"then_branch": then, "else_branch": other}, []*graph.Value{some}, "picked")
	g.Nodes = append(g.Nodes, n)
	g.Output(y, n.Outputs[0])
	return g
}

func sealed(t testing.TB, g *graph.Graph) (*Plan, []byte) {
	t.Helper()
	p, err := Compile(g, Options{})
	if err != nil {
		t.Fatal(err)
	}
	data, err := p.Seal([]byte("the model"))
	if err != nil {
		t.Fatal(err)
	}
	return p, data
}

func TestSealedPlansComputeTheSame(t *testing.T) {
	for name, g := range map[string]*graph.Graph{"small": sealable(), "mobilenet": mobileNet(t, false), "mobilenet int8": mobileNet(t, true)} {
		p, data := sealed(t, g)
		if err := VerifySealed(t.Context(), data, p); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		s, err := Unseal(data)
		if err != nil {
			t.Fatal(err)
		}
		q, err := s.Plan(2)
		if err != nil {
			t.Fatal(err)
		}
		if q.ArenaBytes() < p.ArenaBytes() || q.WeightBytes() != p.WeightBytes() || len(q.Notes()) != len(p.Notes()) {
			t.Errorf("%s: the plan differs: %d arena, %d weights, %d notes", name, q.ArenaBytes(), q.WeightBytes(), len(q.Notes()))
		}
		if model, err := SealedModel(data); err != nil || string(model) != "the model" {
			t.Errorf("%s: the model inside is %q, %v", name, model, err)
		}
	}
}

func TestRandomSealedNetworks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g, _ := drawNetwork(t)
		o := drawOptions(t)
		o.Level, o.Portable = 0, false // a plan is sealed for the best
		p, err := Compile(g, o)
		if err != nil {
			t.Fatal(err)
		}
		data, err := p.Seal(nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := VerifySealed(context.Background(), data, p); err != nil {
			t.Error(err)
			_ = p.Dump(dumper{t})
		}
	})
}

func TestPackedWeightsAreNotStoredTwice(t *testing.T) {
	p, data := sealed(t, mobileNet(t, false))
	if most := p.WeightBytes() * 12 / 10; len(data) > most {
		t.Errorf("a plan of %d bytes for %d bytes of weights", len(data), p.WeightBytes())
	}
}

// resealed gives changed data the right checksum, as who wishes harm would.
func resealed(data []byte) []byte {
	if _, model, err := sealParts(data); err == nil {
		binary.LittleEndian.PutUint32(data[12:], crc32.ChecksumIEEE(data[16:model.at]))
	}
	return data
}

// open goes all the way from a file to a result. Nothing in it may make that crash.
func open(data []byte) error {
	_, _ = SealedModel(data)
	s, err := Unseal(data)
	if err != nil {
		return err
	}
	p, err := s.Plan(1)
	if err != nil {
		return err
	}
	if p.ArenaBytes() > 1<<24 {
		return nil
	}
	var in []op.Value
	for _, v := range probe(p) {
		if v == nil {
			return nil
		}
		in = append(in, v)
	}
	session, err := p.NewSession()
	if err != nil {
		return err
	}
	defer session.Close()
	_, err = session.Run(context.Background(), in)
	return err
}

func TestDamagedPlansAreRefused(t *testing.T) {
	_, data := sealed(t, sealable())
	for n := 0; n < len(data); n += 1 + n/50 {
		if open(bytes.Clone(data[:n])) == nil {
			t.Errorf("a file cut to %d of %d bytes is taken", n, len(data))
		}
	}
	r := rand.New(rand.NewPCG(1, 1))
	_, model, _ := sealParts(data)
	for range 300 {
		bad := bytes.Clone(data)
		bad[r.IntN(model.at)] ^= byte(1 + r.IntN(255))
		if err := open(bad); err == nil {
			t.Error("a file with a changed byte is taken")
		}
	}
	bad := bytes.Clone(data)
	bad[len(bad)-1] ^= 1
	if _, err := SealedModel(bad); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("a changed model: %v", err)
	}
}

func TestHostilePlansDoNoHarm(t *testing.T) {
	_, data := sealed(t, sealable())
	meta, _, _ := sealParts(data)
	r := rand.New(rand.NewPCG(2, 2))
	for range 4000 {
		bad := bytes.Clone(data)
		for range 1 + r.IntN(3) {
			at := 16 + r.IntN(32)
			if r.IntN(8) > 0 {
				at = meta.at + r.IntN(meta.length)
			}
			bad[at] = byte(r.Uint32())
		}
		_ = open(resealed(bad))
	}
}

func TestHollowConstantsAreNoLargerThanTheFile(t *testing.T) {
	p, _ := sealed(t, sealable())
	huge, err := tensor.Hollow(tensor.Uint8, []int{1 << 20, 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	p.taken[0].Const = huge
	data, err := p.Seal(nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Unseal(data); err == nil || !strings.Contains(err.Error(), "larger than the file") {
		t.Errorf("a constant of 1 TiB without contents: %v", err)
	}
}

func TestPlansOfOthersAreRefusedWithTheReason(t *testing.T) {
	p, data := sealed(t, sealable())
	edit := func(old, new string) []byte {
		return resealed(bytes.Replace(bytes.Clone(data), []byte(old), []byte(new), 1))
	}
	id := BuildID()
	for want, bad := range map[string][]byte{
		"another build": edit(id, strings.Repeat("x", len(id))),
		"form 9":        edit(sealMagic+string(rune(sealForm)), sealMagic+"\x09"),
		"the steps are": edit(p.print()[3:], strings.Repeat("0", len(p.print())-3)),
		"cut short":     data[:20],
		"checksum":      bytes.Replace(data, []byte("conv"), []byte("CONV"), 1),
	} {
		if err := open(bad); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

func FuzzUnseal(f *testing.F) {
	_, data := sealed(f, sealable())
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) { _ = open(resealed(bytes.Clone(data))) })
}

func TestBuildID(t *testing.T) {
	if BuildID() == "" {
		t.Error("this program's build has no number")
	}
	mark := []byte("code\xff Go build ID: \"abc/def\"\n \xffmore")
	if id := findBuildID(mark); id != "abc/def" {
		t.Errorf("the number between marks is %q", id)
	}
	elf := "\x7fELF....\x04\x00\x00\x00\x03\x00\x00\x00\x04\x00\x00\x00Go\x00\x00xyz"
	if id := findBuildID([]byte(elf)); id != "xyz" {
		t.Errorf("the number in a note is %q", id)
	}
	for _, bad := range []string{"", "\x7fELF", elf[:len(elf)-1], "\xff Go build ID: \"abc"} {
		if id := findBuildID([]byte(bad)); id != "" {
			t.Errorf("%q has the number %q", bad, id)
		}
	}
}
