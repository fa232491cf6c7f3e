package store_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/escrowgrid/escrowgrid/internal/store"
)

// What a killed process left is replaced, whatever it came to.
func TestAPartialFileReplacesALeftover(t *testing.T) {
	for name, left := range map[string]string{
		"nothing written": "",
		"the beginning":   "SQLite format 3\x00 and some pages",
		"a hole":          "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00 and some pages",
	} {
		t.Run(name, func(t *testing.T) {
			final := filepath.Join(t.TempDir(), "b.db")
			for _, suffix := range []string{"", "-journal", "-wal", "-shm"} {
				if err := os.WriteFile(final+".partial"+suffix, []byte(left), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			p, err := store.NewPartial(final)
			if err != nil {
				t.Fatal(err)
			}
			if about, err := os.Stat(p.Path()); err != nil || about.Size() != 0 {
				t.Errorf("it begins with %v, %v", about, err)
			}
			if err := p.Finish(); err != nil {
				t.Fatal(err)
			}
			if err := p.Close(); err != nil {
				t.Fatal(err)
			}
			if files, err := filepath.Glob(final + "*"); err != nil || len(files) != 1 || files[0] != final {
				t.Errorf("it leaves %q, %v", files, err)
			}
		})
	}
}

// Two backups or exports to one path do not write into each other's file.
func TestAPartialFileHasOneWriter(t *testing.T) {
	final := filepath.Join(t.TempDir(), "b.db")
	first, err := store.NewPartial(final)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.NewPartial(final); err == nil || !strings.Contains(err.Error(), "another process is writing") {
		t.Errorf("a second one is refused with %v", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second, err := store.NewPartial(final)
	if err != nil {
		t.Fatalf("after the first: %v", err)
	}
	if err := second.Close(); err != nil {
		t.Error(err)
	}
	if files, err := filepath.Glob(final + "*"); err != nil || len(files) > 0 {
		t.Errorf("they leave %q, %v", files, err)
	}
}

// What somebody else put there is theirs.
func TestAPartialFileReplacesNothingElse(t *testing.T) {
	for name, put := range map[string]func(path, other string) error{
		"a text":      func(path, _ string) error { return os.WriteFile(path, []byte("mine"), 0o600) },
		"a link":      func(path, other string) error { return os.Symlink(other, path) },
		"a directory": func(path, _ string) error { return os.Mkdir(path, 0o700) },
	} {
		t.Run(name, func(t *testing.T) {
			directory := t.TempDir()
			final, other := filepath.Join(directory, "b.db"), filepath.Join(directory, "other")
			if err := os.WriteFile(other, []byte("SQLite format 3\x00"), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := put(final+".partial", other); err != nil {
				t.Fatal(err)
			}
			before, err := os.Lstat(final + ".partial")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := store.NewPartial(final); err == nil || !strings.Contains(err.Error(), "is in the way") {
				t.Errorf("it is refused with %v", err)
			}
			after, err := os.Lstat(final + ".partial")
			if err != nil || !os.SameFile(before, after) || after.Size() != before.Size() {
				t.Errorf("it was %v and is %v, %v", before, after, err)
			}
			if content, err := os.ReadFile(other); err != nil || len(content) != 16 {
				t.Errorf("the other file has %q, %v", content, err)
			}
		})
	}
}
