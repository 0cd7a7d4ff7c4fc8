package report

import (
	"bytes"
	"encoding/xml"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"holdfast/bench/disk"
)

func timed(seconds ...float64) map[string][]Measurement {
	all := map[string][]Measurement{}
	for _, step := range []string{StepFirst, StepUnchanged, StepNext, StepRestore} {
		for _, s := range seconds {
			all[step] = append(all[step], Measurement{Seconds: s, CPU: 2 * s, Peak: 80e6})
		}
	}
	return all
}

func comparison() *Comparison {
	return &Comparison{
		Common: Common{Kind: "comparison", Machine: "a machine", Data: "mixed", LeftOut: []string{"borg is left out"}},
		Size:   disk.Size{Files: 7, Bytes: 12e6}, Runs: 3, Steps: []string{StepFirst, StepUnchanged, StepNext, StepRestore},
		Tools: []*Tool{
			{Name: Limit, Steps: timed(1, 1, 2), DayOne: []int64{1, 1, 1}, DayTwo: []int64{2, 2, 2}},
			{Name: Holdfast, Release: "holdfast 1", Steps: timed(2, 2, 4), DayOne: []int64{2 << 20, 2 << 20, 2 << 20}, DayTwo: []int64{3 << 20, 3 << 20, 3 << 20},
				Alone: map[string][]Measurement{
					AloneToken:    {{Seconds: 0.01, CPU: 0.01, Peak: 20e6}, {Seconds: 0.02, CPU: 0.01, Peak: 20e6}},
					AlonePassword: {{Seconds: 0.31, CPU: 0.31, Peak: 90e6}, {Seconds: 0.34, CPU: 0.31, Peak: 90e6}},
				},
				Syncs: map[string]Syncs{StepFirst: {"fsync": 12, "syncfs": 1, "open O_SYNC": 1}}},
			{Name: "restic", Release: "restic 2", Steps: timed(8, 10, 40), DayOne: []int64{4 << 20, 4 << 20, 4 << 20}, DayTwo: []int64{9 << 20, 9 << 20, 9 << 20}},
			{Name: "kopia", Steps: timed(9, 9, 9), DayOne: []int64{1 << 20, 1 << 20, 1 << 20}, DayTwo: []int64{5 << 20, 5 << 20, 5 << 20}},
		},
	}
}

// words is what a result prints, without its alignment.
func words(t *testing.T, r Result) string {
	t.Helper()
	var text strings.Builder
	if err := Text(&text, r); err != nil {
		t.Fatal(err)
	}
	return strings.Join(strings.Fields(text.String()), " ")
}

func contains(t *testing.T, text string, all ...string) {
	t.Helper()
	for _, want := range all {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
}

// Against the best peer of each run, then the median: of 8/2, 9/2 and 9/4.
func TestComparison(t *testing.T) {
	contains(t, words(t, comparison()),
		"mixed: 12 MB in 7 files; medians of 3 runs",
		"borg is left out",
		"holdfast: holdfast 1; restic: restic 2.",
		"limit holdfast restic kopia holdfast against the best peer of the limit",
		"first, s 1.00 2.00 10.00 9.00 ×4.00 as fast 50 %",
		"repository after day 1, MiB 2.0 4.0 1.0 ×2.00 as much",
		"growth on the next day, MiB 1.0 5.0 4.0 ×0.25 as much",
		"peak memory of all steps, MB 80 80 80 ×1.00 as much",
		"first, holdfast 2.00 2.00–4.00 4.00 80 ×1.00 50 % 12 fsync, 1 open O_SYNC, 1 syncfs",
		"unchanged, holdfast 2.00 2.00–4.00 4.00 80 ×1.00 50 % 0",
		"first, restic 10.00 8.00–40.00 20.00 80 ×5.00 10 % not counted", // of ×4, ×5 and ×10
		"holdfast: of which the password's derivation 0.31 0.30–0.32 0.30 70",
	)
}

func TestComparisonWithoutPeersOrLimit(t *testing.T) {
	c := comparison()
	c.Tools = c.Tools[1:2]
	contains(t, words(t, c), "first, s 2.00 – ", "first, holdfast 2.00 2.00–4.00 4.00 80 ×1.00 – 12 fsync")
	c.Steps = []string{StepFirst, StepUnchanged}
	if text := words(t, c); strings.Contains(text, "next day") {
		t.Errorf("a step that was not taken is in\n%s", text)
	}
}

func curve() *Curve {
	c := &Curve{Common: Common{Kind: "curve", Machine: "a machine", Data: "dump"}, Release: "holdfast 1", Steps: []string{StepFirst}}
	for _, scale := range []float64{1, 4, 16} {
		p := Point{Scale: scale, Size: disk.Size{Files: 1, Bytes: int64(1e9 * scale)}, Tool: &Tool{Name: Holdfast, Steps: map[string][]Measurement{}}}
		p.Tool.Add(&Tool{Steps: map[string][]Measurement{StepFirst: {{Seconds: 3 * math.Pow(scale, 1.5), CPU: 1, Peak: 90e6}}}, DayOne: []int64{1}})
		c.Points = append(c.Points, p)
	}
	return c
}

func TestCurve(t *testing.T) {
	contains(t, words(t, curve()),
		"dump, of several sizes: one run.",
		"data first, s first, peak, MB",
		"4.0 GB in one file 24.00 90",
		"exponent 1.50 0.00",
	)
}

func month() *Days {
	day := Measurement{Seconds: 2, CPU: 3, Peak: 90e6}
	return &Days{Common: Common{Kind: "days", Machine: "a machine", Data: "mixed"}, Days: 2, Tools: []*DaysTool{
		{Name: Holdfast, Create: []Measurement{{Seconds: 9}, day, {Seconds: 4, Peak: 95e6}}, Repository: []int64{100 << 20, 101 << 20, 104 << 20},
			Restore: day, Read: ReadBytes{All: 150e6, Once: 100e6}, Restored: 200e6},
		{Name: "restic", Create: []Measurement{day, day, day}, Repository: []int64{90 << 20, 100 << 20, 110 << 20},
			Restore: day, Read: ReadBytes{All: 100e6, Once: 100e6}, Restored: 200e6},
	}}
}

func TestDays(t *testing.T) {
	contains(t, words(t, month()),
		"mixed: a first snapshot and one per day for 2 days",
		"repository on the last day, MiB 104.0 110.0",
		"mean growth a day, MiB 2.0 10.0",
		"growth, times holdfast ×1.00 ×5.00",
		"snapshot of a day, s, median 3.00 2.00",
		"peak memory of a day, MB, least–most 90–95 90–90",
		"read amplification ×1.50 ×1.00",
	)
}

func TestAServersPartIsShownWhereThereIsOne(t *testing.T) {
	d := month()
	if strings.Contains(words(t, d), "server's") {
		t.Error("there is no server")
	}
	for _, tool := range d.Tools {
		for i := range tool.Create {
			tool.Create[i].ServerCPU = 0.5
		}
	}
	d.Tools[1].Restore.ServerCPU = 0.7
	contains(t, words(t, d),
		"of it the server's processor time, s 0.50 0.50 of it the tool's and the client's, s 1.50 3.00",
		"of it the server's processor time, s 0.000 0.70 of it the tool's and the client's, s 3.00 3.00")
}

func TestFigures(t *testing.T) {
	for want, values := range map[float64][]float64{3: {9, 1, 3}, 2: {3, 1}, 5: {5}} {
		if got := median(values); got != want {
			t.Errorf("median of %v is %v, want %v", values, got, want)
		}
	}
	if got := least([][]float64{{3, 1, 5}, {2, 4, 6}, nil}); len(got) != 3 || got[0] != 2 || got[1] != 1 || got[2] != 5 {
		t.Errorf("least is %v, want 2 1 5", got)
	}
	if got := exponent([]float64{1, 2, 4}, []float64{5, 5, 5}); math.Abs(got) > 1e-9 {
		t.Errorf("what does not grow has the exponent %v", got)
	}
	if got := exponent([]float64{1, 10, 100}, []float64{2, 200, 20000}); math.Abs(got-2) > 1e-9 {
		t.Errorf("a square has the exponent %v", got)
	}
	for want, s := range map[string]float64{"0.004": 0.0041, "0.15": 0.152, "12.30": 12.3, "123": 123.4} {
		if got := inSeconds(s); got != want {
			t.Errorf("%v s is printed %q, want %q", s, got, want)
		}
	}
}

func TestPicturesAreWellFormed(t *testing.T) {
	odd := comparison()
	odd.Data = `<&"> data`
	odd.Tools[2].Steps[StepFirst] = nil
	flat := month()
	flat.Tools = flat.Tools[:1]
	flat.Tools[0].Repository = []int64{5, 5, 5}
	for name, r := range map[string]Result{"comparison": comparison(), "odd": odd, "curve": curve(), "days": month(), "flat": flat} {
		picture := r.Picture()
		decoder := xml.NewDecoder(bytes.NewReader(picture))
		elements := 0
		for {
			token, err := decoder.Token()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v in\n%s", name, err, picture)
			}
			if _, ok := token.(xml.StartElement); ok {
				elements++
			}
		}
		if elements < 8 || bytes.Contains(picture, []byte("NaN")) || bytes.Contains(picture, []byte("Inf")) {
			t.Errorf("%s: %d elements in\n%s", name, elements, picture)
		}
		if !bytes.Contains(picture, []byte("prefers-color-scheme: dark")) {
			t.Errorf("%s: nothing for dark pages", name)
		}
	}
}

const page = `# Figures

<!-- table: mixed -->
stale
<!-- end of table -->

between

<!-- table: days-mixed -->
<!-- end of table -->
end
`

func writePage(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "page.md")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(strings.TrimSuffix(path, ".md"), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestRenderFillsWhatIsMeasured(t *testing.T) {
	path := writePage(t, page)
	folder := strings.TrimSuffix(path, ".md")
	if err := Save(filepath.Join(folder, "mixed.json"), comparison()); err != nil {
		t.Fatal(err)
	}
	text, empty, err := Render(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(empty) != 1 || empty[0] != "days-mixed" {
		t.Errorf("said to be empty: %v", empty)
	}
	contains(t, text, "# Figures\n\n<!-- table: mixed -->\nmixed: 12 MB", "![mixed](page/mixed.svg)",
		"| first, s | 1.00 | 2.00 | 10.00 | 9.00 | ×4.00 as fast | 50 % |\n", "<!-- end of table -->\n\nbetween\n\n<!-- table: days-mixed -->\n<!-- end of table -->\nend\n")
	if strings.Contains(text, "stale") {
		t.Error("what stood there before is still there")
	}
	picture, err := os.ReadFile(filepath.Join(folder, "mixed.svg"))
	if err != nil || !bytes.Equal(picture, comparison().Picture()) {
		t.Errorf("the picture is another: %v", err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if again, _, err := Render(path); err != nil || again != text {
		t.Errorf("rendered twice it is another page: %v", err)
	}
}

func TestRenderSaysWhatIsWrong(t *testing.T) {
	for name, content := range map[string]string{"other.json": "", "mixed.json": "{", "days-mixed.json": `{"kind": "unknown"}`} {
		path := writePage(t, page)
		file := filepath.Join(strings.TrimSuffix(path, ".md"), name)
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, _, err := Render(path); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: error is %v, want its name", name, err)
		}
	}
}

// The page in docs shows what was measured, and nothing else.
func TestThePageIsRendered(t *testing.T) {
	const path = "../../docs/benchmarks.md"
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(t.TempDir(), "benchmarks")
	if err := os.CopyFS(folder, os.DirFS("../../docs/benchmarks")); err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	beside := folder + ".md"
	if err := os.WriteFile(beside, want, 0o644); err != nil {
		t.Fatal(err)
	}
	text, _, err := Render(beside)
	if err != nil {
		t.Fatal(err)
	}
	if text != string(want) {
		t.Error("docs/benchmarks.md is not what its JSON files say: make bench-render")
	}
	for _, name := range pictures(t, folder) {
		made, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			t.Fatal(err)
		}
		if kept, err := os.ReadFile(filepath.Join("../../docs/benchmarks", name)); err != nil || !bytes.Equal(made, kept) {
			t.Errorf("docs/benchmarks/%s is not what its JSON file says: make bench-render", name)
		}
	}
}

func pictures(t *testing.T, folder string) []string {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(folder, "*.svg"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range all {
		all[i] = filepath.Base(all[i])
	}
	return all
}

// Results from before it was measured have no such row.
func TestTheTimeUntilARestoreIsOnTheDiskIsShownWhereItWasMeasured(t *testing.T) {
	const row = "until it is on the disk, s"
	c := comparison()
	if text := words(t, c); strings.Contains(text, row) {
		t.Errorf("%q stands in\n%s", row, text)
	}
	for _, tool := range c.Tools {
		for i := range tool.Steps[StepRestore] {
			tool.Steps[StepRestore][i].Durable = tool.Steps[StepRestore][i].Seconds + 1
		}
	}
	contains(t, words(t, c), row+" 2.00 3.00 11.00 10.00 ×3.00 as fast")
}

// What no tool can do says how near one comes, and is nobody to win against.
func TestTheLimitByBlobIsNoPeer(t *testing.T) {
	c := comparison()
	c.Tools = slices.Insert(c.Tools, 1, &Tool{Name: LimitByBlob, Steps: timed(1.5, 1.5, 1.5), DayOne: []int64{1, 1, 1}, DayTwo: []int64{2, 2, 2}})
	contains(t, words(t, c), "first, s 1.00 1.50 2.00 10.00 9.00 ×4.00 as fast 50 %", "repository after day 1, MiB 2.0 4.0 1.0 ×2.00 as much")
}
