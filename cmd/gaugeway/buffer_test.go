package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gaugeway/gaugeway/buffer"
)

// tool runs a command of the program, and returns what it wrote and its exit code.
func tool(t *testing.T, args ...string) (out, errOut string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], args...)
	cmd.Env = append(os.Environ(), asGaugeway+"=1")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	_ = cmd.Run() // the exit code is looked at
	return stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()
}

// csvByPython reads an export with a program that nobody here wrote: seqs by class.
func csvByPython(t *testing.T, text string) map[string][]int {
	t.Helper()
	script := `import csv,sys,json
seqs={}
for r in csv.DictReader(sys.stdin, strict=True):
    assert list(r)=="time device tag value unit quality reason class epoch seq time_quality alarm".split(), list(r)
    assert (r["quality"]=="good")==(r["value"]!=""), r
    assert r["time"].endswith("Z") and r["unit"]=="bar", r
    seqs.setdefault(r["class"],[]).append(int(r["seq"]))
print(json.dumps(seqs))`
	cmd := exec.Command("/usr/bin/python3", "-c", script)
	cmd.Stdin = strings.NewReader(text)
	out, err := cmd.CombinedOutput()
	seqs := map[string][]int{}
	if err == nil {
		err = json.Unmarshal(out, &seqs)
	}
	if err != nil {
		t.Fatalf("python: %v\n%s", err, out)
	}
	return seqs
}

func TestForeignLooksIntoABufferThatRunsAndOneThatWasKilled(t *testing.T) {
	b, _ := played(t, plantText, "[uplink.scada]\nservers = [\"mqtt://127.0.0.1:1\"]\n")
	stats := func(args ...string) (s buffer.Summary) {
		t.Helper()
		out, errOut, code := tool(t, append([]string{"buffer", "stats", "--json"}, args...)...)
		if code != 0 {
			t.Fatalf("stats ends with %d: %s", code, errOut)
		}
		if err := json.Unmarshal([]byte(out), &s); err != nil {
			t.Fatal(err)
		}
		return s
	}
	eventually(t, "twenty readings are committed", func() bool { return stats("-c", b.config).Uplinks["scada"].Backlog >= 20 })
	if out, errOut, code := tool(t, "buffer", "verify", "-c", b.config); code != 0 || !strings.Contains(out, "0 faults") {
		t.Fatalf("verify of a running gateway: %d %s %s", code, out, errOut)
	}
	out, errOut, code := tool(t, "buffer", "export", "--socket", b.socket(), "--tag", "pressure")
	if code != 0 {
		t.Fatal(errOut)
	}
	if seqs := csvByPython(t, out); len(seqs["normal"]) == 0 {
		t.Fatalf("nothing in the export:\n%s", out)
	}
	dir := filepath.Join(b.dir, "buffer")
	for _, command := range []string{"stats", "verify", "export"} {
		_, errOut, code := tool(t, "buffer", command, "--directory", dir)
		if code != 1 || !strings.Contains(errOut, "another process uses the buffer file") || !strings.Contains(errOut, "leave out --file") {
			t.Fatalf("%s of a file that is in use: %d %s", command, code, errOut)
		}
	}
	live := stats("-c", b.config)

	b.running.kill()
	before := bytesOf(t, dir)
	dead := stats("--directory", dir)
	if dead.Epochs[0].Epoch != live.Epochs[0].Epoch || dead.Uplinks["scada"].Backlog < live.Uplinks["scada"].Backlog ||
		dead.Uplinks["scada"].Oldest == nil || dead.Boots[0].Clock != "synced" {
		t.Fatalf("it had %+v, and after the kill %+v", live, dead)
	}
	if out, errOut, code := tool(t, "buffer", "verify", "--directory", dir); code != 0 {
		t.Fatalf("verify of a killed gateway: %s %s", out, errOut)
	}
	if out, errOut, code = tool(t, "buffer", "export", "--directory", dir); code != 0 {
		t.Fatal(errOut)
	}
	n := strings.Count(out, "\n")
	total := 0
	for _, e := range dead.Epochs {
		for _, c := range e.Classes {
			total += int(c.Committed)
		}
	}
	if n != total+1 {
		t.Fatalf("%d lines for %d readings", n, total)
	}
	file := filepath.Join(b.dir, "out.ndjson")
	if _, errOut, code = tool(t, "buffer", "export", "--directory", dir, "--format", "ndjson", "--site", "pad-7", "--output", file); code != 0 {
		t.Fatal(errOut)
	}
	script := `import json,sys
rs=[json.loads(l) for l in open(sys.argv[1])]
ids={(r["epoch"],r["class"],r["seq"]) for r in rs}
assert len(ids)==len(rs) and all(r["site"]=="pad-7" and r["device"]=="wellhead" for r in rs)
for c in {i[1] for i in ids}:
    s=sorted(i[2] for i in ids if i[1]==c); assert s==list(range(1,len(s)+1)), c
print(len(rs))`
	if out, err := exec.Command("/usr/bin/python3", "-c", script, file).CombinedOutput(); err != nil || strings.TrimSpace(string(out)) != fmt.Sprint(total) {
		t.Fatalf("python finds %s of %d, %v", out, total, err)
	}
	if bytesOf(t, dir) != before {
		t.Fatal("looking into the directory changed it")
	}
	// A stranger's SQLite damages one segment.
	damage := `import sqlite3,sys
c=sqlite3.connect(sys.argv[1]); assert c.execute("PRAGMA integrity_check").fetchone()[0]=="ok"
c.execute("UPDATE segment1 SET body=zeroblob(length(body)) WHERE id=(SELECT min(id) FROM segment1)"); c.commit()`
	if out, err := exec.Command("/usr/bin/python3", "-c", damage, buffer.FileIn(dir)).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if out, errOut, code := tool(t, "buffer", "verify", "--file", buffer.FileIn(dir)); code != 1 || !strings.Contains(out, "class normal, seq 1 to ") {
		t.Fatalf("verify of a damaged file: %d %s %s", code, out, errOut)
	}
}

// bytesOf is everything in a directory, with names and times.
func bytesOf(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&all, "%s %v\n%s\n", e.Name(), info.ModTime(), text)
	}
	return all.String()
}

func TestBufferCommandsSayWhatIsWrong(t *testing.T) {
	for want, args := range map[string][]string{
		"not both":                      {"stats", "--file", "a", "--directory", "b"},
		`did you mean "ndjson"`:         {"export", "--format", "ndjsn"},
		`--from: "yesterday" is no tim`: {"export", "--from", "yesterday"},
	} {
		if _, errOut, code := tool(t, append([]string{"buffer"}, args...)...); code != exitUsage || !strings.Contains(errOut, want) {
			t.Errorf("%v: %d %s", args, code, errOut)
		}
	}
	if _, errOut, code := tool(t, "buffer", "stats", "--directory", t.TempDir()); code != exitFailed || !strings.Contains(errOut, "no such file") {
		t.Errorf("%d %s", code, errOut)
	}
}
