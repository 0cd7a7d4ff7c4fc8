// Package files is the engine for mounts: directories with uploads and other
// files, whatever is in them.
//
//	Prepare   clock, syncfs, walk against the parent snapshot    (site runs)
//	Mark      what was touched since, else a walk against that   (under the hold)
//	Send      looks for what Mark missed, hands the result over  (site runs)
//
//	Stage     .holdfast/TOKEN/building -> .holdfast/TOKEN/staged (site runs)
//	Swap      plan; names change places with staged ones; staged -> retired
//	Revert    retired -> staged; names change back; plan removed
//	Discard   plan removed; .holdfast/TOKEN removed
//
// Reading. A walk compares each name's stat with the entry of that name in an
// earlier tree; what has equal type, size, mtime, ctime and inode is taken over
// unread, and a directory in which nothing differs is taken over whole. The
// second walk therefore costs stats, and reading what changed in between. Where
// nothing is held and the first began less than a second ago there is no second:
// the point is the first, at the time when it began. Unless a name came or went meanwhile:
// what it stood for may have moved from where the walk had not been to where it had.
//
// Where there are many files even stats take long, and under a hold too long. So on
// local filesystems Prepare has the kernel tell (inotify) what is touched from the
// moment each directory is read, and Mark looks at that alone: what it costs
// depends on what the site did, not on how many files there are. Writes through
// mappings make no events; files that somebody has mapped are found in /proc as
// far as it lets us look, and Send, after the release of a hold, compares all stats
// with what was stored: what had changed before the hold and was not noticed is
// named, and the mount is then not at one instant. Where the kernel loses track
// Mark walks. A mount that is a whole btrfs subvolume is snapshotted by Mark instead,
// read-only, and walked there after the release (subvolume_linux.go).
//
// Time stamps prove nothing about what happens within one tick of the clock, or
// to a page that is already dirty in somebody's mapping. So Prepare notes the
// filesystem's clock S and then syncs the filesystem, which makes the next write
// to any mapped page move the file's times: a file whose times are older than S
// (less one tick) will show every later change. All others are suspect: read
// again by Mark, if it walks, and by the next snapshot. The clock is the kernel's own
// (CLOCK_REALTIME_COARSE is what local filesystems stamp with), so nothing is
// written into the mount; a server's clock may differ, and there everything of
// the last ten minutes is suspect.
//
// Writing. Current data changes in Swap and Revert only, name by name, each by
// one rename. The mount's root is never renamed, nor is any directory that holds
// something that must stay (an excluded path, a live SQLite file): their
// children change places instead, at any depth. So what is excluded is not even
// moved. The plan in .holdfast/TOKEN/plan says for each name which inode was
// there and which one comes; where the two are now tells how far a swap got, at
// any moment, to any process. A site that is not held may remove or replace what was
// there before its turn comes: what is exchanged is what is there then, and returns.
//
// Invariants:
//
//  1. Beneath the mount nothing is reached by path: only by descriptors and
//     single names, never through a symlink.
//  2. What Service.Avoid names is never opened for reading or writing.
//  3. What a snapshot says about a file's size is what it holds of it.
//  4. Memory does not grow with the number of files; of one directory the names
//     are held, of its entries one window.
//  5. Until plan is written no current name has moved; once it is removed Revert
//     does nothing; it is removed only when all names are old or all are new.
//  6. Nothing outside .holdfast/TOKEN is ever removed, and nothing on another
//     filesystem.
package files
