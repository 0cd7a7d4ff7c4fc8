// Package solr captures and restores one core of a user-managed Solr server,
// over HTTP alone. Its index is taken file by file: Lucene never changes a file
// that it has written, so what the parent snapshot holds is not fetched again.
//
// # What stands in a snapshot
//
// For a service called search, one directory:
//
//	search/conf/...        the config set: schema, solrconfig.xml, word lists
//	search/core.json       the commit: number of documents, generation, files
//	search/index/_0.cfs    the index, as Solr itself has it in data/index
//
// # Create
//
//	Prepare   is it a user-managed core; a hard commit, so that the next is small
//	Mark      a hard commit; its generation is reserved, and kept reserved by asking
//	          for its files again, every few seconds, until Close
//	Send      the files that the parent snapshot lacks, over the replication handler
//
// What a site has sent to Solr but not committed is in the snapshot: the mark
// commits it, without opening a searcher, as autoCommit does.
//
// # Restore
//
// With T for the token and shop for the core, all is built in a second core,
// shop_holdfast_T, whose directory has that name too. It fetches the index
// from us: for that time this process answers like the leader of a replication.
//
//	Stage     CREATE the second core; it fetches; files and documents are compared
//	Swap      SWAP of the two names; RENAME where there was no core
//	Revert    the same again
//	Discard   UNLOAD of the second core, which by then has the other data
//
// The config set of the snapshot comes with the index. Where it is that of the
// current core, the second core uses the current core's. Otherwise its files go
// to the directory holdfast_T/conf within the current config directory: that is
// the one place where a follower may write them.
//
// # Invariants
//
//  1. A file is known to be unchanged by its name, its size and the CRC-32 that
//     Lucene keeps in it, and a fetched file is held to all three.
//  2. A generation that is gone is engines.ErrPointLost, never a shorter index.
//  3. How far a swap came is asked of the server: the core whose directory is
//     named after the token holds the new data, whatever the core is called.
//  4. Whatever changes cores is one request, which is waited for even when the
//     caller's context ends: nothing is still under way when a call has returned.
//  5. No password is ever part of an error, nor the path at which a restore is fetched.
//
// Goroutines: the one that keeps a commit reserved ends with Close or the next
// Mark; the one that serves a restore ends with Stage.
package solr
