package loadtest

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"syscall"
)

// The files of a report, and those that each run leaves below it.
const (
	pageFile    = "report.html"
	summaryFile = "summary.json"
	junitFile   = "junit.xml"

	serverLog = "server.log"
	k6Folder  = "k6"
	k6Log     = "k6.log"
)

// runFolder matches the names of the folders of the runs of a repeated test.
var runFolder = regexp.MustCompile(`^run-\d+$`)

// emptyReport removes from a directory what an earlier test left there, so that nothing of it
// can be taken for this one's. What is not of a report stays.
func emptyReport(directory string) error {
	runs := []string{directory}
	entries, err := os.ReadDir(directory)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if entry.IsDir() && runFolder.MatchString(entry.Name()) {
			runs = append(runs, filepath.Join(directory, entry.Name()))
		}
	}

	errs := []error{
		syscall.Unlink(filepath.Join(directory, pageFile)),
		syscall.Unlink(filepath.Join(directory, summaryFile)),
		syscall.Unlink(filepath.Join(directory, junitFile)),
	}
	for _, run := range runs {
		k6 := filepath.Join(run, k6Folder)
		errs = append(errs,
			syscall.Unlink(filepath.Join(k6, summaryFile)),
			syscall.Unlink(filepath.Join(k6, k6Log)),
			syscall.Rmdir(k6),
			syscall.Unlink(filepath.Join(run, serverLog)))
		if run != directory {
			errs = append(errs, syscall.Rmdir(run))
		}
	}

	for _, err := range errs {
		// A folder stays that has other files, and a file that has the name of a folder.
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrExist) && !errors.Is(err, syscall.ENOTDIR) {
			return &fs.PathError{Op: "empty the report", Path: directory, Err: err}
		}
	}
	return nil
}
