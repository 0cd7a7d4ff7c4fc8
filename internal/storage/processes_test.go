package storage_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"holdfast/internal/storage"
)

// These tests run other processes on one directory: this test binary once more,
// in one of the roles of childMain.

func child(t *testing.T, role, dir, argument string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], dir, argument)
	cmd.Env = append(os.Environ(), "STORAGE_TEST_CHILD="+role)
	cmd.Stderr = os.Stderr
	return cmd
}

func childMain(role, dir, argument string) error {
	l, err := storage.OpenLocal(dir)
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(argument)
	if err != nil {
		return err
	}
	switch role {
	case "put", "draft":
		for _, way := range ways {
			if way.name == role {
				return putAndDie(l, n, way.put)
			}
		}
	case "race":
		return race(l, argument)
	case "churn":
		return churn(l, argument)
	}
	return errors.New("unknown role " + role)
}

const childData = "what the child has put"

// putAndDie puts one object and is killed before step n.
func putAndDie(l *storage.Local, n int, put func(context.Context, *storage.Local, string, []byte) error) error {
	total := 0
	l.SetStep(func(_ string, do func() error) error {
		if total == n {
			if err := syscall.Kill(os.Getpid(), syscall.SIGKILL); err != nil {
				return err
			}
			select {}
		}
		total++
		return do()
	})
	return put(context.Background(), l, "packs/3f/3f02", []byte(childData))
}

const raceNames = 100

// race tries to be the first with many names, and prints which it got.
func race(l *storage.Local, me string) error {
	for i := range raceNames {
		name := fmt.Sprintf("condemned/%08d", i)
		err := l.Put(context.Background(), name, []byte(me))
		switch {
		case err == nil:
			fmt.Println(name)
		case !errors.Is(err, storage.ErrExist):
			return err
		}
	}
	return nil
}

// churn makes and empties directories that others make and empty too.
func churn(l *storage.Local, me string) error {
	for i := range 100 {
		name := fmt.Sprintf("leases/%d/%s-%d", i%2, me, i)
		if err := l.Put(context.Background(), name, []byte(name)); err != nil {
			return err
		}
		if _, err := l.Stat(context.Background(), name); err != nil {
			return err
		}
		if err := l.Delete(context.Background(), name); err != nil {
			return err
		}
	}
	return nil
}

// together runs several children in a role and returns what they printed.
func together(t *testing.T, role, dir string, n int) []string {
	t.Helper()
	outputs := make([]bytes.Buffer, n)
	children := make([]*exec.Cmd, n)
	for i := range children {
		children[i] = child(t, role, dir, fmt.Sprint(i))
		children[i].Stdout = &outputs[i]
		if err := children[i].Start(); err != nil {
			t.Fatal(err)
		}
	}
	var printed []string
	for i, c := range children {
		if err := c.Wait(); err != nil {
			t.Errorf("child %d: %v", i, err)
		}
		printed = append(printed, outputs[i].String())
	}
	return printed
}

func TestProcessesRaceForNames(t *testing.T) {
	dir := t.TempDir()
	l := create(t, dir)
	winners := map[string]string{}
	for i, printed := range together(t, "race", dir, 4) {
		for _, name := range strings.Fields(printed) {
			if other, taken := winners[name]; taken {
				t.Errorf("%s was won by %s and by %d", name, other, i)
			}
			winners[name] = fmt.Sprint(i)
		}
	}
	if len(winners) != raceNames {
		t.Errorf("%d of %d names were won", len(winners), raceNames)
	}
	for name, winner := range winners {
		data, err := storage.ReadAll(t.Context(), l, name, 10)
		if err != nil || string(data) != winner {
			t.Errorf("%s holds %q, %v; won by %s", name, data, err, winner)
		}
	}
}

func TestProcessesEmptyEachOthersDirectories(t *testing.T) {
	dir := t.TempDir()
	create(t, dir)
	together(t, "churn", dir, 4)
	if left := onDisk(t, dir); len(left) != 0 {
		t.Errorf("left: %q", left)
	}
}
