package solr

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"holdfast/engines"
)

// commit is one generation of an index, as core.json has it.
type commit struct {
	Documents  int64       `json:"documents"`
	Generation int64       `json:"generation"`
	Version    int64       `json:"version"` // milliseconds since 1970, of the commit; 0: nothing was ever committed
	Files      []indexFile `json:"files"`   // in order of their names
}

// indexFile is a file of an index.
type indexFile struct {
	Name     string `json:"name"`
	Size     int64  `json:"size"`
	Checksum int64  `json:"checksum"` // Lucene's: CRC-32 of all but the last 8 bytes; 0 if unknown
}

// segmentsFile is what a commit's own file begins with; its generation follows in
// base 36.
const segmentsFile = "segments_"

// hardCommit makes the server write down what it has been sent.
func (p place) hardCommit(ctx context.Context, core string) error {
	return p.ask(ctx, "commit", "/"+core+"/update", query("commit", "true", "openSearcher", "false"), &struct{}{})
}

// latest is the generation that filelist takes for the newest commit.
const latest = -1

// files asks for the files of a generation, which makes the server keep it for
// some seconds more (ReplicationHandler's commitReserveDuration, 10 s unless
// configured). A generation that is gone is engines.ErrPointLost.
func (p place) files(ctx context.Context, core string, generation int64) ([]indexFile, error) {
	var answer struct {
		FileList *[]indexFile `json:"filelist"`
		Status   string       `json:"status"`
		Message  string       `json:"message"`
	}
	err := p.ask(ctx, "list the files of its index", "/"+core+"/replication",
		query("command", "filelist", "generation", strconv.FormatInt(generation, 10)), &answer)
	if code(err) == 404 || err == nil && answer.FileList == nil && answer.Status == "" {
		return nil, fmt.Errorf("%s: core %s has no replication handler, by which its index is read: "+
			"take what replaces /replication out of its solrconfig.xml", p.at(), core)
	}
	if err != nil {
		return nil, err
	}
	if answer.FileList == nil || len(*answer.FileList) == 0 {
		return nil, fmt.Errorf("%s: generation %d of core %s is gone (%s): %w", p.at(), generation, core, answer.Message, engines.ErrPointLost)
	}
	files := *answer.FileList
	slices.SortFunc(files, func(a, b indexFile) int { return cmp.Compare(a.Name, b.Name) })
	return files, nil
}

// generationOf reads a generation out of the names of its files.
func generationOf(files []indexFile) (int64, error) {
	for _, f := range files {
		if digits, ok := strings.CutPrefix(f.Name, segmentsFile); ok {
			return strconv.ParseInt(digits, 36, 64)
		}
	}
	return 0, fmt.Errorf("no file %sN among the files of an index", segmentsFile)
}

// segments is what a server says about the newest commit on its disk.
type segments struct {
	Info struct {
		File     string            `json:"segmentsFileName"`
		UserData map[string]string `json:"userData"`
	} `json:"info"`
	Segments map[string]struct {
		Size        int64 `json:"size"` // documents, deleted ones included
		Deleted     int64 `json:"delCount"`
		SoftDeleted int64 `json:"softDelCount"`
	} `json:"segments"`
}

// maxLooks bounds how often newest asks again because somebody has committed.
const maxLooks = 20

// newest describes the newest commit and reserves it.
func (p place) newest(ctx context.Context, core string) (commit, error) {
	for range maxLooks {
		files, err := p.files(ctx, core, latest)
		if err != nil {
			return commit{}, err
		}
		generation, err := generationOf(files)
		if err != nil {
			return commit{}, fmt.Errorf("%s, core %s: %w", p.at(), core, err)
		}
		var s segments
		if err := p.ask(ctx, "look at its segments", "/"+core+"/admin/segments", query(), &s); err != nil {
			return commit{}, err
		}
		if s.Info.File != segmentsFile+strconv.FormatInt(generation, 36) {
			continue // another commit came between the two questions
		}
		c := commit{Generation: generation, Files: files}
		for _, segment := range s.Segments {
			c.Documents += segment.Size - segment.Deleted - segment.SoftDeleted
		}
		c.Version, _ = strconv.ParseInt(s.Info.UserData["commitTimeMSec"], 10, 64) // of the first, empty one there is none
		return c, nil
	}
	return commit{}, fmt.Errorf("%s: core %s is committed to so often that no commit could be looked at", p.at(), core)
}

// position is the commit in Solr's words.
func (c commit) position() string {
	return fmt.Sprintf("generation %d, version %d", c.Generation, c.Version)
}
