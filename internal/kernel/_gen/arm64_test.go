package main

import (
	"bytes"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// An encoding is what an encoder gives, with the mnemonic and the word as a
// disassembler (GNU objdump) has them.
type encoding struct {
	inst
	mnemonic string
	word     uint32
}

// encodings holds a row for every encoder; files add their own.
var encodings = []encoding{
	{loadIndexed(12, 7, 30), "ldr q30, [x12, x7]", 0x3ce7699e},
	{add(s4, 3, 17, 30), "add v3.4s, v17.4s, v30.4s", 0x4ebe8623},
	{add(h8, 3, 17, 30), "add v3.8h, v17.8h, v30.8h", 0x4e7e8623},
	{sub(b16, 3, 17, 30), "sub v3.16b, v17.16b, v30.16b", 0x6e3e8623},
	{shl(s4, 3, 17, 23), "shl v3.4s, v17.4s, #23", 0x4f375623},
	{shl(h8, 3, 17, 5), "shl v3.8h, v17.8h, #5", 0x4f155623},
	{sshr(s4, 3, 17, 1), "sshr v3.4s, v17.4s, #1", 0x4f3f0623},
	{ushr(d2, 3, 17, 40), "ushr v3.2d, v17.2d, #40", 0x6f580623},
	{ushr(b8, 3, 17, 7), "ushr v3.8b, v17.8b, #7", 0x2f090623},
	{and(3, 17, 30), "and v3.16b, v17.16b, v30.16b", 0x4e3e1e23},
	{orr(3, 17, 30), "orr v3.16b, v17.16b, v30.16b", 0x4ebe1e23},
	{bic(3, 17, 30), "bic v3.16b, v17.16b, v30.16b", 0x4e7e1e23},
	{bsl(3, 17, 30), "bsl v3.16b, v17.16b, v30.16b", 0x6e7e1e23},
	{bit(3, 17, 30), "bit v3.16b, v17.16b, v30.16b", 0x6ebe1e23},
	{fadd(3, 17, 30), "fadd v3.4s, v17.4s, v30.4s", 0x4e3ed623},
	{fsub(3, 17, 30), "fsub v3.4s, v17.4s, v30.4s", 0x4ebed623},
	{fmul(3, 17, 30), "fmul v3.4s, v17.4s, v30.4s", 0x6e3ede23},
	{fdiv(3, 17, 30), "fdiv v3.4s, v17.4s, v30.4s", 0x6e3efe23},
	{fmla(3, 17, 30), "fmla v3.4s, v17.4s, v30.4s", 0x4e3ece23},
	{fmls(3, 17, 30), "fmls v3.4s, v17.4s, v30.4s", 0x4ebece23},
	{fmax(3, 17, 30), "fmax v3.4s, v17.4s, v30.4s", 0x4e3ef623},
	{fmin(3, 17, 30), "fmin v3.4s, v17.4s, v30.4s", 0x4ebef623},
	{fcmgt(3, 17, 30), "fcmgt v3.4s, v17.4s, v30.4s", 0x6ebee623},
	{fmlaLane(3, 17, 30, 0), "fmla v3.4s, v17.4s, v30.s[0]", 0x4f9e1223},
	{fmlaLane(3, 17, 30, 1), "fmla v3.4s, v17.4s, v30.s[1]", 0x4fbe1223},
	{fmlaLane(3, 17, 30, 2), "fmla v3.4s, v17.4s, v30.s[2]", 0x4f9e1a23},
	{fmlaLane(3, 17, 14, 3), "fmla v3.4s, v17.4s, v14.s[3]", 0x4fae1a23},
	{fmlsLane(3, 17, 30, 1), "fmls v3.4s, v17.4s, v30.s[1]", 0x4fbe5223},
	{fmulLane(3, 17, 30, 2), "fmul v3.4s, v17.4s, v30.s[2]", 0x4f9e9a23},
	{frecpe(3, 17), "frecpe v3.4s, v17.4s", 0x4ea1da23},
	{frecps(3, 17, 30), "frecps v3.4s, v17.4s, v30.4s", 0x4e3efe23},
	{fabs(3, 17), "fabs v3.4s, v17.4s", 0x4ea0fa23},
	{fneg(3, 17), "fneg v3.4s, v17.4s", 0x6ea0fa23},
	{frintn(3, 17), "frintn v3.4s, v17.4s", 0x4e218a23},
	{fcvtns(3, 17), "fcvtns v3.4s, v17.4s", 0x4e21aa23},
	{scvtf(3, 17), "scvtf v3.4s, v17.4s", 0x4e21da23},
	{fcvtl(3, 17), "fcvtl v3.4s, v17.4h", 0x0e217a23},
	{fcvtl2(3, 17), "fcvtl2 v3.4s, v17.8h", 0x4e217a23},
	{fcvtn(3, 17), "fcvtn v3.4h, v17.4s", 0x0e216a23},
	{fcvtn2(3, 17), "fcvtn2 v3.8h, v17.4s", 0x4e216a23},
}

func TestEncodings(t *testing.T) {
	for _, e := range encodings {
		if e.text != e.mnemonic || e.inst.word != e.word {
			t.Errorf("%s is %#08x, want %s, %#08x", e.text, e.inst.word, e.mnemonic, e.word)
		}
	}
}

var wordLine = regexp.MustCompile(`(?m)^\tWORD \$(0x[0-9a-f]{8}) // (.*)$`)

// Every word of the table and of the generated files disassembles to its
// mnemonic. This needs a disassembler; the table pins each encoder without one.
func TestWordsDisassemble(t *testing.T) {
	objdump, err := exec.LookPath("aarch64-linux-gnu-objdump")
	if err != nil {
		t.Skip("no aarch64-linux-gnu-objdump")
	}
	var code bytes.Buffer
	var want []string
	add := func(word uint32, text string) {
		code.Write(binary.LittleEndian.AppendUint32(nil, word))
		want = append(want, text)
	}
	for _, e := range encodings {
		add(e.word, e.mnemonic)
	}
	for name, emit := range outputs {
		if !strings.HasSuffix(name, "_arm64.s") {
			continue
		}
		a := &asm{}
		emit(a)
		for _, m := range wordLine.FindAllStringSubmatch(a.out.String(), -1) {
			w, err := strconv.ParseUint(m[1], 0, 32)
			if err != nil {
				t.Fatal(err)
			}
			add(uint32(w), m[2])
		}
	}
	file := filepath.Join(t.TempDir(), "words")
	if err := os.WriteFile(file, code.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(objdump, "-D", "-b", "binary", "-m", "aarch64", "-z", file).Output()
	if err != nil {
		t.Fatal(err)
	}
	line := regexp.MustCompile(`(?m)^ *[0-9a-f]+:\t([0-9a-f]{8}) \t(\S+)\t([^\n]*)$`)
	got := line.FindAllStringSubmatch(string(out), -1)
	if len(got) != len(want) {
		t.Fatalf("%d instructions disassembled, want %d", len(got), len(want))
	}
	for i, g := range got {
		if text := g[2] + " " + g[3]; text != want[i] {
			t.Errorf("%s is %s, want %s", g[1], text, want[i])
		}
	}
}
