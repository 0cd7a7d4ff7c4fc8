package main

import (
	"cmp"
	"context"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"holdfast/bench/report"
)

// countReads runs c and counts the bytes that it reads from files below some
// directories, all of them and each only once. What it maps into memory is not
// seen; none of the tools maps what it restores from.
func countReads(ctx context.Context, c command, dirs ...string) (report.ReadBytes, error) {
	r := reads{dirs: dirs, position: map[string]int64{}, ranges: map[string][]span{}}
	if err := trace(ctx, c, "open,openat,lseek,read,readv,pread64,preadv", r.see); err != nil {
		return report.ReadBytes{}, err
	}
	return r.total(), nil
}

// reads follows where every open file is read.
type reads struct {
	dirs     []string
	position map[string]int64 // by "number<path>", which is what strace prints
	ranges   map[string][]span
	all      int64
}

type span struct{ start, end int64 }

var (
	opened  = regexp.MustCompile(`= (\d+<(.+)>)$`)
	used    = regexp.MustCompile(`^(\w+)\((\d+<([^>]+)>)(.*)\)\s+= (\d+)$`)
	lastOne = regexp.MustCompile(`, (\d+)$`)
)

func (r *reads) see(call string) {
	if strings.HasPrefix(call, "open") {
		if m := opened.FindStringSubmatch(call); m != nil && r.below(m[2]) {
			r.position[m[1]] = 0
		}
		return
	}
	m := used.FindStringSubmatch(call)
	if m == nil || !r.below(m[3]) {
		return
	}
	name, file, path, arguments := m[1], m[2], m[3], m[4]
	result, err := strconv.ParseInt(m[5], 10, 64)
	if err != nil {
		return
	}
	switch name {
	case "lseek":
		r.position[file] = result
	case "read", "readv":
		r.add(path, r.position[file], result)
		r.position[file] += result
	case "pread64", "preadv":
		if m := lastOne.FindStringSubmatch(arguments); m != nil {
			offset, err := strconv.ParseInt(m[1], 10, 64)
			if err == nil {
				r.add(path, offset, result)
			}
		}
	}
}

func (r *reads) below(path string) bool {
	return slices.ContainsFunc(r.dirs, func(dir string) bool { return strings.HasPrefix(path, dir+"/") })
}

func (r *reads) add(path string, offset, length int64) {
	r.all += length
	r.ranges[path] = append(r.ranges[path], span{offset, offset + length})
}

func (r *reads) total() report.ReadBytes {
	once := int64(0)
	for _, spans := range r.ranges {
		slices.SortFunc(spans, func(a, b span) int { return cmp.Compare(a.start, b.start) })
		reached := int64(0)
		for _, s := range spans {
			once += max(0, s.end-max(s.start, reached))
			reached = max(reached, s.end)
		}
	}
	return report.ReadBytes{All: r.all, Once: once}
}
