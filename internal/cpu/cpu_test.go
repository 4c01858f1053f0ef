package cpu

import (
	"os"
	"path/filepath"
	"testing"
)

func TestLevelNames(t *testing.T) {
	for l := Generic; int(l) < len(levelNames); l++ {
		got, err := ParseLevel(l.String())
		if err != nil || got != l {
			t.Errorf("ParseLevel(%q) = %v, %v", l.String(), got, err)
		}
	}
	if _, err := ParseLevel("sse9"); err == nil {
		t.Error("ParseLevel(sse9): no error")
	}
}

func TestLevelsAscendFromGeneric(t *testing.T) {
	all := Levels()
	if len(all) == 0 || all[0] != Generic {
		t.Fatalf("Levels() = %v, want Generic first", all)
	}
	for i := 1; i < len(all); i++ {
		if all[i] <= all[i-1] || !all[i].Includes(all[i-1]) && all[i-1] != AVXVNNI {
			t.Errorf("Levels() = %v: not ascending", all)
		}
		if !Runs(all[i]) {
			t.Errorf("Runs(%v) is false", all[i])
		}
	}
	if Best() != all[len(all)-1] {
		t.Errorf("Best() = %v, Levels() = %v", Best(), all)
	}
}

func TestLowerNeverRaises(t *testing.T) {
	x86 := []Level{Generic, AVX2, AVX512}
	lake, rapids := []Level{Generic, AVX2, AVXVNNI}, []Level{Generic, AVX2, AVXVNNI, AVX512, AVX512VNNI}
	arm := []Level{Generic, NEON}
	for _, c := range []struct {
		all  []Level
		name string
		want Level
	}{
		{x86, "", AVX512}, {x86, "nonsense", AVX512}, {x86, "avx512vnni", AVX512}, {x86, "AVX2", AVX2},
		{x86, "avxvnni", AVX2}, {lake, "avxvnni", AVXVNNI}, {lake, "avx512vnni", AVX2}, {rapids, "", AVX512VNNI}, {rapids, "avxvnni", AVXVNNI},
		{rapids, "avx512", AVX512}, {rapids, "avx2", AVX2},
		{x86, "generic", Generic}, {x86, "neon", Generic}, {arm, "neondot", NEON}, {arm, "neoni8mm", NEON}, {arm, "avx512", Generic}, {arm, "generic", Generic},
	} {
		got := lower(c.all, c.name)
		if got[len(got)-1] != c.want {
			t.Errorf("lower(%v, %q) = %v, want %v last", c.all, c.name, got, c.want)
		}
	}
}

func TestQuota(t *testing.T) {
	for _, c := range []struct {
		name  string
		files map[string]string
		want  int
	}{
		{"none", nil, 0},
		{"v2", map[string]string{"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/cpu.max": "250000 100000\n", "sys/fs/cgroup/a/b/cpu.max": "max 100000\n"}, 2},
		{"v2 below one", map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "50000 100000\n"}, 1},
		{"v1", map[string]string{"proc/self/cgroup": "4:cpu,cpuacct:/x\n", "sys/fs/cgroup/cpu/x/cpu.cfs_quota_us": "300000\n", "sys/fs/cgroup/cpu/x/cpu.cfs_period_us": "100000\n"}, 3},
		{"v1 unlimited", map[string]string{"proc/self/cgroup": "4:cpu:/x\n", "sys/fs/cgroup/cpu/x/cpu.cfs_quota_us": "-1\n", "sys/fs/cgroup/cpu/x/cpu.cfs_period_us": "100000\n"}, 0},
		{"hostile", map[string]string{"proc/self/cgroup": "0::/../../../a\n::\nx\n", "sys/fs/cgroup/a/cpu.max": "NaN 0\n", "sys/fs/cgroup/cpu.max": "1e300 1\n"}, 0},
	} {
		root := t.TempDir()
		for name, text := range c.files {
			full := filepath.Join(root, name)
			if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(full, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if got := quota(root); got != c.want {
			t.Errorf("%s: quota = %d, want %d", c.name, got, c.want)
		}
	}
}

func TestCores(t *testing.T) {
	if n := Cores(); n < 1 {
		t.Errorf("Cores() = %d", n)
	}
}

func TestAllInOrder(t *testing.T) {
	const a53, a72, other = "processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd03\n\n",
		"CPU implementer\t: 0x41\nCPU part\t: 0xd08\n\n", "CPU implementer\t: 0x51\nCPU part\t: 0xd03\n\n"
	for text, want := range map[string]bool{a53: true, a53 + a53: true, a53 + a72: false, a72: false, other: false, "": false, "CPU part": false} {
		if got := allInOrder(text); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}
