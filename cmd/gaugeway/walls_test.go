package main

import (
	"os/exec"
	"strings"
	"testing"
)

const module = "github.com/gaugeway/gaugeway/"

// walls says what each package may import of this module. What is not here may
// not be imported: the reason stands beside.
var walls = []struct {
	pkg, why string
	may      []string
}{
	{"gateway", "the heart knows nobody, so that everybody may know it", nil},
	{"gateway/flash", "keeps rows for anyone, knows none of them", []string{"gateway"}},
	{"drivers/modbus/wire", "bytes and types only, so that both ends of a line can use it", []string{"gateway"}},
	{"drivers/line", "a port does not know what is spoken on it", []string{"gateway"}},
	{"drivers/keeper", "keeps a line open whatever is spoken on it", []string{"gateway"}},
	{"drivers/keeper/keepertest", "a wire in memory for the tests of any driver", []string{"gateway"}},
	{"drivers/modbus", "a driver knows its line only as a gateway.Line, and the broker only as a gateway.Sink", []string{"gateway", "drivers/keeper", "drivers/modbus/wire"}},
	{"drivers/text", "a driver knows its line only as a gateway.Line, and the broker only as a gateway.Sink", []string{"gateway", "drivers/keeper"}},
	{"drivers/scan", "asks instruments of which nothing is configured, through the engine that never mistakes an answer", []string{"gateway", "drivers/modbus", "drivers/modbus/wire"}},
	{"drivers/simulate", "what tests a driver must not share its code beyond the frames", []string{"gateway", "drivers/modbus/wire"}},
	{"broker", "the site is served whether or not there is a buffer behind", []string{"gateway", "gateway/flash"}},
	{"buffer", "the store does not know where readings come from or go to", []string{"gateway", "gateway/flash"}},
	{"gateway/codec", "formats are for receivers too, which have no gateway", []string{"gateway"}},
	{"gateway/uplink", "the one exception on its floor: it sends what the codec packs", []string{"gateway", "gateway/codec"}},
	{"drivers", "the table of protocols", []string{"gateway", "drivers/*", "configs"}},
	{"gateway/status", "shows what it is given, so that it can be shown anywhere", []string{"gateway"}},
	{"gateway/receive", "the server side must build without the gateway's rooms", []string{"gateway", "gateway/codec", "gateway/uplink"}},
	{"gateway/config", "composes the options of the rooms, and runs none of them", []string{"gateway", "gateway/uplink", "drivers/*", "drivers", "broker", "buffer"}},
}

func TestWalls(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}}: {{join .Imports " "}}`, module+"...").Output()
	if err != nil {
		t.Fatal(err)
	}
	imports := make(map[string][]string)
	for line := range strings.Lines(string(out)) {
		pkg, list, _ := strings.Cut(strings.TrimSpace(line), ": ")
		imports[strings.TrimPrefix(pkg, module)] = strings.Fields(list)
	}
	for _, w := range walls {
		if _, exists := imports[w.pkg]; !exists {
			t.Errorf("%s is in the table and not in the module", w.pkg)
		}
		for _, path := range imports[w.pkg] {
			if inside, ours := strings.CutPrefix(path, module); ours && !allowed(w.may, inside) {
				t.Errorf("%s imports %s: %s", w.pkg, inside, w.why)
			}
			if w.pkg == "gateway" && strings.Contains(strings.Split(path, "/")[0], ".") {
				t.Errorf("gateway imports %s: the heart has the standard library only", path)
			}
		}
		delete(imports, w.pkg)
	}
	for pkg := range imports {
		if !strings.HasPrefix(pkg, "cmd/") && pkg != "configs" {
			t.Errorf("%s has no row in the table of walls", pkg)
		}
	}
}

func allowed(may []string, path string) bool {
	for _, m := range may {
		if prefix, any := strings.CutSuffix(m, "*"); m == path || any && strings.HasPrefix(path, prefix) {
			return true
		}
	}
	return false
}
