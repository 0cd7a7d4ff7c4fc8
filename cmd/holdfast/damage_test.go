package main

import (
	"os"
	"slices"
	"strconv"
	"strings"
)

// damage does to a file what disks and people do: "flip" a bit in the middle,
// "cut" the second half off, "remove" it, or set a byte, "5=9".
func damage(file, how string) error {
	if how == "remove" {
		return os.Remove(file)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	switch how {
	case "flip":
		data[len(data)/2] ^= 1
	case "cut":
		data = data[:len(data)/2]
	default:
		at, value, _ := strings.Cut(how, "=")
		offset, err := strconv.Atoi(at)
		if err != nil {
			return err
		}
		b, err := strconv.ParseUint(value, 10, 8)
		if err != nil {
			return err
		}
		data[offset] = byte(b)
	}
	if err := os.Remove(file); err != nil { // objects cannot be written to
		return err
	}
	return os.WriteFile(file, data, 0o400)
}

// largest returns the largest of some files.
func largest(files []string) string {
	size := func(file string) int64 {
		info, err := os.Stat(file)
		if err != nil {
			return -1
		}
		return info.Size()
	}
	return slices.MaxFunc(files, func(a, b string) int { return int(size(a) - size(b)) })
}
