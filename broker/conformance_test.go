package broker

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write CONFORMANCE.md anew")

// clause is a normative statement.
type clause struct {
	version, number string
	reason          string // why no test shows it, "" where one must
}

// readClauses reads testdata/clauses.txt.
func readClauses(t *testing.T) (all []clause) {
	t.Helper()
	text, err := os.ReadFile("testdata/clauses.txt")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		line, reason, _ := strings.Cut(strings.TrimSpace(line), " : ")
		if words := strings.Fields(line); len(words) > 1 && words[0] != "#" {
			for _, number := range words[1:] {
				all = append(all, clause{words[0], number, reason})
			}
		}
	}
	return all
}

var (
	inComment = regexp.MustCompile(`\[MQTT-(\d+)[.-](\d+)\.(\d+)-(\d+)\]`) // 3.1.1 itself writes one as MQTT-3-8.3-4
	inName    = regexp.MustCompile(`^TestMQTT_(\d+)_(\d+)_(\d+)_(\d+)_`)
)

// testedClauses finds the tests that name a clause: in a comment inside, or in
// the name. Those called TestMQTT5… name clauses of 5.0, all others of 3.1.1.
func testedClauses(t *testing.T) map[[2]string][]string {
	t.Helper()
	files, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	tests := make(map[[2]string][]string)
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && strings.HasPrefix(f.Name.Name, "Test") {
				addClauses(tests, file, f)
			}
		}
	}
	return tests
}

func addClauses(tests map[[2]string][]string, file *ast.File, f *ast.FuncDecl) {
	version, name := "3.1.1", f.Name.Name
	if strings.HasPrefix(name, "TestMQTT5") {
		version = "5.0"
	}
	found := inName.FindAllStringSubmatch(name, 1)
	for _, c := range file.Comments {
		if c.Pos() > f.Pos() && c.End() < f.End() || c == f.Doc {
			found = append(found, inComment.FindAllStringSubmatch(c.Text(), -1)...)
		}
	}
	for _, m := range found {
		key := [2]string{version, fmt.Sprintf("%s.%s.%s-%s", m[1], m[2], m[3], m[4])}
		if !slices.Contains(tests[key], name) {
			tests[key] = append(tests[key], name)
		}
	}
}

// TestConformance keeps CONFORMANCE.md what the tests say. Run it with -update
// to write it anew.
func TestConformance(t *testing.T) {
	tests := testedClauses(t)
	var table strings.Builder
	table.WriteString("# Conformance\n\nMade from the tests by `go test ./broker -run TestConformance -update`; do not edit.\n" +
		"Each normative statement of MQTT 3.1.1 and 5.0 (appendix B), and the tests that show it, or why none can.\n")
	version := ""
	for _, c := range readClauses(t) {
		if c.version != version {
			version = c.version
			fmt.Fprintf(&table, "\n## MQTT %s\n\n| statement | tests |\n| --- | --- |\n", version)
		}
		key := [2]string{c.version, c.number}
		shown := "not applicable: " + c.reason
		if names := tests[key]; len(names) > 0 {
			slices.Sort(names)
			shown = strings.Join(names, ", ")
		} else if c.reason == "" {
			t.Errorf("MQTT %s: no test names [MQTT-%s]", c.version, c.number)
			shown = "**none**"
		}
		fmt.Fprintf(&table, "| MQTT-%s | %s |\n", c.number, shown)
		delete(tests, key)
	}
	for key, names := range tests {
		t.Errorf("MQTT %s has no [MQTT-%s], which %v names", key[0], key[1], names)
	}
	compareTable(t, table.String())
}

func compareTable(t *testing.T, table string) {
	const name = "CONFORMANCE.md"
	if *update {
		if err := os.WriteFile(name, []byte(table), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(name)
	if err != nil || string(have) != table {
		t.Errorf("%s is out of date (%v); run go test ./broker -run TestConformance -update", name, err)
	}
}
