package main

import (
	"fmt"
	"slices"
)

// otherWord is what people, and other tools, call a command of this one.
type otherWord struct {
	words   []string
	command string // its name here
	line    string // to type, where that is more than the command alone
	does    string // what that does, to be read after it
}

// otherWords is the one table of them. Words that are a command's own name here, such
// as check or prune, are found without it.
var otherWords = []otherWord{
	{[]string{"verify", "test", "validate", "fsck"}, "repo check", "repo check --verify-restore latest",
		"restores the newest snapshot into a scratch directory and compares; without the flag it looks for what is missing"},
	{[]string{"save", "run", "take", "snap"}, "snapshot create", "", "takes a snapshot of the environment"},
	{[]string{"history", "log", "archives"}, "snapshot list", "", "lists the environment's snapshots"},
	{[]string{"status", "ps"}, "snapshot list", "", "lists the environment's snapshots, running ones too; \"gate status\" and \"repo parity status\" say how these are"},
	{[]string{"info", "inspect", "describe"}, "snapshot show", "snapshot show latest", "says all that is known about the newest snapshot"},
	{[]string{"tree", "browse", "mount"}, "snapshot ls", "snapshot ls latest", "lists what is in the newest snapshot; \"snapshot restore --to DIR\" writes it out"},
	{[]string{"dump", "print"}, "snapshot cat", "snapshot cat latest PATH", "writes one file or dump of the newest snapshot to stdout"},
	{[]string{"extract", "export", "download"}, "snapshot restore", "snapshot restore --to DIR", "writes a snapshot into a directory and replaces nothing"},
	{[]string{"rollback", "revert", "undo"}, "snapshot restore", "snapshot restore ID",
		"puts a snapshot back; each restore prints the line that undoes it, and \"snapshot list --safety\" shows what restores have replaced"},
	{[]string{"forget", "expire", "rotate"}, "snapshot prune", "snapshot prune --dry-run",
		"says which snapshots the retention policy no longer keeps; \"snapshot delete ID\" deletes one"},
	{[]string{"rm", "remove", "del"}, "snapshot delete", "snapshot delete ID", "deletes a snapshot; \"snapshot undelete\" brings it back"},
	{[]string{"tag", "keep", "protect"}, "snapshot pin", "snapshot pin ID", "keeps a snapshot for good"},
	{[]string{"compact", "purge", "vacuum", "cleanup", "collect"}, "repo gc", "", "gives back the space of deleted snapshots"},
	{[]string{"unlock", "resume"}, "snapshot recover", "", "finishes a restore that was interrupted; snapshots leave no locks behind"},
	{[]string{"passwd", "password"}, "repo key password", "", "changes the repository's password"},
	{[]string{"proxy", "serve"}, "gate", "gate --help", "says how to hold requests in front of a site"},
}

func otherWordFor(typed string) (otherWord, bool) {
	i := slices.IndexFunc(otherWords, func(w otherWord) bool { return slices.Contains(w.words, typed) })
	if i < 0 {
		return otherWord{}, false
	}
	return otherWords[i], true
}

func (w otherWord) hint() string {
	line := w.line
	if line == "" {
		line = w.command
	}
	return fmt.Sprintf("%q %s", "holdfast "+line, w.does)
}
