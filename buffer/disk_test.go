package buffer

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// disk is an ext4 on a loop device, whose writes are counted where they reach
// the block layer: the file system's own journal is part of the price. Where
// there is no root or no loop device, it is a plain directory, and the writes are
// those the kernel accounts to this process when pages get dirty, without the
// file system's own and without flushes.
type disk struct {
	dir  string
	stat string // /sys/block/loopN/stat, "" for a plain directory
}

func openDisk(b *testing.B) *disk {
	b.Helper()
	dir := b.TempDir()
	if os.Geteuid() != 0 {
		b.Log("not root: bytes from /proc/self/io, flushes unknown")
		return &disk{dir: dir}
	}
	image := filepath.Join(dir, "image")
	if shm, err := os.MkdirTemp("/dev/shm", "gaugeway-bench-"); err == nil {
		b.Cleanup(func() { os.RemoveAll(shm) })
		image = filepath.Join(shm, "image")
	}
	run := func(name string, args ...string) (string, bool) {
		out, err := exec.Command(name, args...).CombinedOutput()
		if err != nil {
			b.Logf("%s %v: %v %s: bytes from /proc/self/io, flushes unknown", name, args, err, out)
		}
		return strings.TrimSpace(string(out)), err == nil
	}
	f, err := os.Create(image)
	if err == nil {
		err = f.Truncate(1 << 30)
		f.Close()
	}
	if err != nil {
		b.Log(err)
		return &disk{dir: dir}
	}
	if _, ok := run("mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", image); !ok {
		return &disk{dir: dir}
	}
	device, ok := run("losetup", "--find", "--show", image)
	if !ok {
		return &disk{dir: dir}
	}
	b.Cleanup(func() { run("losetup", "--detach", device) })
	mount := filepath.Join(dir, "mnt")
	os.Mkdir(mount, 0o755)
	if _, ok := run("mount", "-t", "ext4", device, mount); !ok {
		return &disk{dir: dir}
	}
	b.Cleanup(func() { run("umount", mount) })
	return &disk{dir: mount, stat: "/sys/block/" + filepath.Base(device) + "/stat"}
}

// written returns the bytes written and the flushes so far.
func (d *disk) written(b *testing.B) (bytes, flushes int64) {
	b.Helper()
	if d.stat == "" {
		text, err := os.ReadFile("/proc/self/io")
		if err != nil {
			b.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if n, ok := strings.CutPrefix(line, "write_bytes: "); ok {
				bytes, _ = strconv.ParseInt(strings.TrimSpace(n), 10, 64)
			}
		}
		return bytes, 0
	}
	text, err := os.ReadFile(d.stat)
	if err != nil {
		b.Fatal(err)
	}
	fields := strings.Fields(string(text)) // Documentation/block/stat.rst: 7 sectors written, 16 flushes
	sectors, _ := strconv.ParseInt(fields[6], 10, 64)
	if len(fields) > 15 {
		flushes, _ = strconv.ParseInt(fields[15], 10, 64)
	}
	return sectors * 512, flushes
}
