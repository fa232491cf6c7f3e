package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/escrowgrid/escrowgrid/internal/httpapi/apitest"
)

// smallDisk has the disk of a server, in bytes: the schema and some positions fit.
const smallDisk = 4 << 20

// serveOnASmallDisk starts a server whose database is on a disk of its own. It returns the
// path by which the test reaches the disk. The disk is in a namespace of the server's own, so
// no privileges are needed, and it is gone with the server.
func serveOnASmallDisk(t *testing.T) (p *process, disk string) {
	t.Helper()
	disk = t.TempDir()
	inNamespace := func(command *exec.Cmd) *exec.Cmd {
		command.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
		}
		return command
	}
	mount := fmt.Sprintf("mount -t tmpfs -o size=%d none %s", smallDisk, disk)
	if output, err := inNamespace(exec.CommandContext(t.Context(), "sh", "-c", mount)).CombinedOutput(); err != nil {
		t.Skipf("this system lets nobody mount a disk of his own: %v, %s", err, output)
	}

	//nolint:noctx // The test ends it, in its own way.
	command := inNamespace(exec.Command("sh", "-c", mount+" && exec "+binary+" serve"))
	p = launchCommand(t, command, []string{
		"PATH=" + os.Getenv("PATH"), "PORT=0", "ROOT_API_KEY=" + testRootKey,
		"DATABASE_URL=sqlite:" + filepath.Join(disk, "e.db"),
	})
	p.Client = clientOf(t, p.servedURL(t), testRootKey)
	return p, fmt.Sprintf("/proc/%d/root%s", command.Process.Pid, disk)
}

// fill writes a file until the disk is full.
func fill(t *testing.T, path string) {
	t.Helper()
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.CopyN(file, zeros{}, smallDisk)
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("the disk is not full: %v", err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
}

type zeros struct{}

// Read implements io.Reader.
func (zeros) Read(into []byte) (int, error) {
	clear(into)
	return len(into), nil
}

// On a full disk nothing is carried out, and the server knows: it says so, at once for as long
// as the disk is full, and goes on when there is room again.
func TestAFullDiskIsNoUnknownOutcome(t *testing.T) {
	t.Parallel()
	p, disk := serveOnASmallDisk(t)
	b := openBank(t, p.Client)
	admin := p.As(b.key)
	admin.Post(t, "/positions", b.claim("before")).Want(t, 201)

	tooMuch := apitest.Request{Method: http.MethodPost, Path: "/positions", Body: b.claim("too much"), Unreliable: true}
	ballast := filepath.Join(disk, "ballast")
	fill(t, ballast)
	admin.Send(t, tooMuch).Refused(t, 503, "store_unavailable")
	retries := metricOf(t, p.Client, "escrowgrid_group_retries_total")
	for range 3 {
		admin.Send(t, tooMuch).Refused(t, 503, "store_unavailable")
	}
	if more := metricOf(t, p.Client, "escrowgrid_group_retries_total") - retries; more != 0 {
		t.Errorf("on a disk that was full already, groups were tried %v times again", more)
	}
	if unknown := metricOf(t, p.Client, "escrowgrid_commits_unknown_total"); unknown != 0 {
		t.Errorf("the outcomes of %v commits were not known", unknown)
	}
	admin.Get(t, "/positions?limit=1000").Want(t, 200)

	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	admin.Post(t, "/positions", b.claim("after")).Want(t, 201)
	checkJournal(t, admin, entriesOfABank+2)
	if code := p.end(t, syscall.SIGTERM); code != exitOK {
		t.Errorf("the server ends with %d", code)
	}
}
