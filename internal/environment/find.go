package environment

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

func noConfig(directory string) error {
	return &hinted{
		kind: ErrNoConfig,
		text: fmt.Sprintf("no %s in %s or in a directory above it", FileName, directory),
		hint: "\"holdfast init\" writes one with examples; --config names another; " +
			"with --repo alone you can list, show and restore --to a directory",
	}
}

// find returns the path of the configuration: named, else in the current
// directory, else in the nearest directory above; "" if there is none.
func find(in Input) (string, error) {
	c := Config{input: in}
	if s := c.setting(in.Flags.Config, "--config", "HOLDFAST_CONFIG"); s.value != "" {
		path := absolute(in.Directory, s.value)
		if info, err := os.Stat(path); err != nil {
			return "", &hinted{
				kind: ErrInvalid,
				text: fmt.Sprintf("%s: %s: %v", s.origin, path, reason(err)),
				hint: "\"holdfast init\" in an empty directory writes one with examples",
			}
		} else if info.IsDir() {
			return "", Problem{Path: s.origin, Text: fmt.Sprintf("%s is a directory; expected a file", s.value)}.invalid()
		}
		return path, nil
	}
	for directory := in.Directory; ; directory = filepath.Dir(directory) {
		path := filepath.Join(directory, FileName)
		info, err := os.Stat(path)
		if err == nil && !info.IsDir() {
			if directory != in.Directory && !trusted(info, in.Lookup) {
				return "", &hinted{
					kind: ErrInvalid,
					text: fmt.Sprintf("%s belongs to another user", path),
					hint: "if it is the one you mean, name it: --config " + path,
				}
			}
			return path, nil
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission) {
			return "", err
		}
		if directory == filepath.Dir(directory) {
			return "", nil
		}
	}
}

// readFile reads a file of at most maxFile bytes.
func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, reason(err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, reason(err)
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("larger than %d KiB: %w", maxFile>>10, ErrInvalid)
	}
	return data, nil
}

// reason returns what the system says without the path, which the caller names.
func reason(err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err
	}
	return err
}

// trusted reports whether a file that was found above the current directory,
// perhaps in /tmp, belongs to the user, to root, or to who called sudo. What it
// says decides what is read, and replaced, with the user's rights.
func trusted(info fs.FileInfo, lookup Lookup) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || stat.Uid == 0 || int(stat.Uid) == os.Geteuid() {
		return true
	}
	caller, _ := lookup("SUDO_UID")
	return caller == strconv.Itoa(int(stat.Uid))
}

// absolute makes path, which counts from directory, absolute and clean.
func absolute(directory, path string) string {
	if !filepath.IsAbs(path) {
		path = filepath.Join(directory, path)
	}
	return filepath.Clean(path)
}

// repositoryPlace is absolute for a path; a URL stays as it is.
func repositoryPlace(directory, value string) string {
	if strings.Contains(value, "://") {
		return value
	}
	return absolute(directory, value)
}

// relative returns the path as somebody in directory would write it, if that
// needs no "..".
func relative(directory, path string) string {
	if short, err := filepath.Rel(directory, path); err == nil && filepath.IsLocal(short) && directory != "/" {
		return short
	}
	return path
}
