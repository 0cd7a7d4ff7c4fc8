/*
 * Garbage collection without locks, for spin. README.md beside this says what it
 * shows; ../gc.md is the protocol. Each step here is one operation on the
 * storage, or several whose order does not matter; the steps of a collection bear
 * the numbers they have there.
 *
 * What makes it small, and none of it weaker:
 *
 *  - Two ids of blobs, a and b, are enough: each whole, or as a difference from
 *    the other one.
 *  - What a collector condemns is any set of packs, needed or not: the choice is
 *    policy, and no part of the proof. So the first trace is left out.
 *  - There are no clocks: whoever may be ended when it was silent for long is
 *    ended at any time.
 *  - A crash is a process that takes no further step, a sleep one that takes the
 *    next step late. Both are in every run.
 *
 * BROKEN, a name of the list below, leaves one rule of the protocol out.
 */

#define NOTHING                  0
/* in a writer */
#define LIST_BEFORE_SESSION      1  /* it reads the list, then opens its session */
#define LIST_AFTER_INDEX         2  /* it reads the list last */
#define TRUST_INDEX              3  /* it does not ask whether a pack exists */
#define TRUST_PRESENCE           4  /* it relies on a difference without its base */
#define COMMIT_OVER_TOMBSTONE    5  /* its commit does not lose against its end */
#define COMMIT_BEFORE_SEGMENT    6  /* the snapshot comes before the index */
/* in a collection */
#define NO_WAIT                  7  /* it does not wait for sessions */
#define TRACE_BEFORE_WAIT        8  /* it lists snapshots, then waits */
#define PUBLISH_ANYWAY           9  /* it decides though another has decided since */
#define NUMBER_TWICE            10  /* it does not look for a list above its own */
#define COUNT_CYCLES            11  /* a difference survives whatever its base does */
#define PURGED_SINCE            12  /* a purge counts that came after the group */
#define SEGMENT_LATE            13  /* copies are indexed after the group is swept */
#define DROP_EARLY              14  /* a group leaves the list before its packs are deleted */
#define REMOVE_TOMBSTONES       15  /* an ended session's name is free again */
/* elsewhere */
#define UNDELETE_PURGED         16  /* undelete does not lose against purge */
#define REBUILD_PACKS_FIRST     17  /* rebuild-index lists packs, then the old segments */
/* where listings are stale */
#define SETTLE_ONCE             18  /* one settle time between list and sessions */
#define TRACE_UNSETTLED         19  /* none between the sessions' end and the snapshots */
#define DELETE_UNSETTLED        20  /* none between the copies' segment and the deletion */
#define REMOVE_UNSETTLED        21  /* none between a list and the removal of those below */
#define REBUILD_UNSETTLED       22  /* none between the old segments and the packs */
#define JOIN_UNSETTLED          23  /* none between a segment and the removal of those it supersedes */

/* no rule, but a claim that must be refuted */
#define NOTHING_IS_FREED        24  /* no pack is ever deleted whose snapshot was purged */

#ifndef BROKEN
#define BROKEN NOTHING
#endif
#ifndef WRITERS
#define WRITERS 2
#endif
#ifndef COLLECTORS
#define COLLECTORS 1
#endif
#ifndef READERS
#define READERS 0
#endif
#ifndef REBUILDERS
#define REBUILDERS 0
#endif
#ifndef TRASH
#define TRASH 1   /* 1: snapshots are purged; 2: they are deleted, and that is taken back, before */
#endif
#ifndef GROUPS
#define GROUPS 1  /* at most 2 */
#endif
#ifndef LISTS
#define LISTS 4   /* how many are published at most */
#endif
#ifndef SIMPLE
#define SIMPLE 0  /* 1: one past only, and groups of one pack */
#endif
#ifndef STALE
#define STALE 0   /* 1: a listing may miss what was created less than the settle time ago */
#endif

#define bit(n) (1 << (n))

/* Copies. A difference has depth 1: its base must have a whole copy. */
#define WHOLE_A 1
#define WHOLE_B 2
#define DIFF_A  4  /* a, as a difference from b */
#define DIFF_B  8  /* b, as a difference from a */
#define A 1
#define B 2

/* The ids that a set of copies has grounded, and those it merely has. */
#define grounded(c) \
	((((c) & WHOLE_A) || (((c) & DIFF_A) && ((c) & WHOLE_B)) -> A : 0) | \
	 (((c) & WHOLE_B) || (((c) & DIFF_B) && ((c) & WHOLE_A)) -> B : 0))
#define present(c) (((c) & (WHOLE_A|DIFF_A) -> A : 0) | ((c) & (WHOLE_B|DIFF_B) -> B : 0))

/* Packs, as sets. 0 and 1 are there at the beginning, 2 and 3 come from the
 * writers, the others from the collectors. None comes again under its name. */
#define PACKS 8
#define EVACUATED 4
byte packs;        /* in the storage */
byte named;        /* by index segments that no other supersedes */
byte held[PACKS];  /* the copies in each */
#define in(set, p) (((set) >> (p)) & 1)
#define copies(set) \
	(in(set,0)*held[0] | in(set,1)*held[1] | in(set,2)*held[2] | \
	 in(set,3)*held[3] | in(set,4)*held[4] | in(set,5)*held[5] | \
	 in(set,6)*held[6] | in(set,7)*held[7])

/* Names: 0 is a snapshot that is there at the beginning, 1 and 2 are the writers',
 * 3 the reader's. */
#define READER 3
#define NONE      0
#define PUBLISHED 1
#define TOMBSTONE 2
#define GONE      3  /* purged, and its object removed */
byte name[4];      /* what stands under snapshots/NAME */
byte needs[3];     /* the ids of each snapshot */
byte sessions;     /* set of names */
#define has(n, what) (name[n] == what -> bit(n) : 0)
#define published (has(0, PUBLISHED) | has(1, PUBLISHED) | has(2, PUBLISHED))
#define undecided (has(1, NONE) | has(2, NONE) | has(3, NONE))

#define KEPT    0
#define DELETED 1
#define PURGED  2
byte trash[3];
#define purgedNow ((trash[0] == PURGED -> 1 : 0) | (trash[1] == PURGED -> 2 : 0) | (trash[2] == PURGED -> 4 : 0))

/* The newest condemned list. What a group holds never changes, so groups stand
 * beside it, and a collector remembers of its list the number and the states. */
byte newest;       /* its number */
byte removed;      /* all lists up to this number have been removed */
#define NEVER     0
#define CONDEMNED 1
#define ANNOUNCED 2
#define SWEPT     3
#define DROPPED   4
byte state[2];
byte group[2];     /* packs */
byte without[2];   /* dead snapshots */
byte waits[2];     /* sessions */
byte born[2];      /* number of the first list with this group */
#define inState(s) ((state[0] == s -> 1 : 0) | (state[1] == s -> 2 : 0))
#define standing   (inState(CONDEMNED) | inState(ANNOUNCED) | inState(SWEPT))
#define packsOf(g) (in(g,0)*group[0] | in(g,1)*group[1])
#define deadIn(g)  (in(g,0)*without[0] | in(g,1)*without[1])
#define waitsOf(g) (in(g,0)*waits[0] | in(g,1)*waits[1])

bool reading;  /* the reader has found snapshot 0 and reads it */

/* What a listing may miss. */
#if STALE
byte youngPacks, youngNamed, youngNames, youngSessions, youngPurges;
byte settledList;  /* every listing shows the lists up to this number that are there */
#define created(what, n) young##what = young##what | bit(n)
#define list(to, set, what) if :: to = (set) & ~young##what :: to = (set) fi
#define sure(set, what) ((set) & ~young##what)
#define old(g) ((born[0] <= settledList -> 1 : 0) | (born[1] <= settledList -> 2 : 0))
#define readList(to) \
	if \
	:: to = packsOf(standing) \
	:: to = packsOf(standing & old(g)) \
	:: settledList <= removed -> to = 0 \
	fi
/* Everything that was there when the waiting began is seen by all when it ends. */
#define settle(until) \
	skip; d_step { oldPacks = youngPacks; oldNamed = youngNamed; oldNames = youngNames; \
	         oldSessions = youngSessions; oldPurges = youngPurges; oldList = newest }; \
	d_step { youngPacks = youngPacks & ~oldPacks; youngNamed = youngNamed & ~oldNamed; \
	         youngNames = youngNames & ~oldNames; youngSessions = youngSessions & ~oldSessions; \
	         youngPurges = youngPurges & ~oldPurges; \
	         if :: settledList < oldList -> settledList = oldList :: else fi; \
	         oldPacks = 0; oldNamed = 0; oldNames = 0; oldSessions = 0; oldPurges = 0; oldList = 0 }
#define settler byte oldPacks, oldNamed, oldNames, oldSessions, oldPurges, oldList
#define unseen (settledList < newest)
#else
#define created(what, n) skip
#define list(to, set, what) to = (set)
#define sure(set, what) (set)
#define readList(to) to = packsOf(standing)
#define settle(until) skip
#define settler skip
#define unseen false
#endif

/* Creating the next list. A number whose list was removed can be created again;
 * whoever does looks whether there is a higher one, and has lost if so. */
#if BROKEN == PUBLISH_ANYWAY
#define publishes (newest < LISTS)
#else
#define publishes (number == newest && newest < LISTS)
#endif
#if BROKEN == NUMBER_TWICE
#define misled (number < removed)
#else
#define misled (number < removed && unseen)
#endif

/* The promises. Every snapshot that is published and not purged can be read by
 * whoever reads the index now ... */
#define resolves(s) (name[s] != PUBLISHED || trash[s] == PURGED || (needs[s] & ~grounded(copies(named & packs))) == 0)
/* ... and so can what a reader with a session reads, purged or not, by whoever
 * sees of the index the least that a listing may show. */
#define readable (!reading || name[READER] == TOMBSTONE || (needs[0] & ~grounded(copies(sure(named, Named) & packs))) == 0)

inline promises() { assert(resolves(0)); assert(resolves(1)); assert(resolves(2)); assert(readable) }

#define openSession(n) d_step { sessions = sessions | bit(n); created(Sessions, n) }
#define endSession(n)  d_step { sessions = sessions & ~bit(n) }

/* A create. It may take the whole of its parent, snapshot 0, over unread. */
proctype Writer(byte me; byte pack) {
	byte forbidden, parent, known, new, need;

#if BROKEN == LIST_BEFORE_SESSION
	atomic { readList(forbidden) }
	openSession(me);
#else
	openSession(me);
#if BROKEN != LIST_AFTER_INDEX
	atomic { readList(forbidden) }
#endif
#endif
	atomic {
		byte gone;
		list(gone, purgedNow, Purges);
		if
		:: name[0] == PUBLISHED && !(gone & 1) -> parent = needs[0]
		:: parent = 0
		fi;
		gone = 0
	};
	atomic {
#if BROKEN == TRUST_INDEX
		known = named
#else
		known = named & packs
#endif
	};
#if BROKEN == LIST_AFTER_INDEX
	atomic { readList(forbidden) };
#endif
	atomic {
		known = copies(known & ~forbidden);
		forbidden = 0;
		if :: need = A :: need = B :: need = A|B fi;
		if
		:: need & A & ~parent & ~
#if BROKEN == TRUST_PRESENCE
			present(known)
#else
			grounded(known)
#endif
			-> if :: new = WHOLE_A :: known & WHOLE_B -> new = DIFF_A fi
		:: else
		fi;
		if
		:: need & B & ~parent & ~
#if BROKEN == TRUST_PRESENCE
			present(known)
#else
			grounded(known)
#endif
			-> if :: new = new | WHOLE_B :: (known|new) & WHOLE_A -> new = new | DIFF_B fi
		:: else
		fi;
		need = need | parent;
		parent = 0; known = 0
	};
	if
	:: new ->
		d_step { held[pack] = new; packs = packs | bit(pack); created(Packs, pack); new = 0 };
#if BROKEN != COMMIT_BEFORE_SEGMENT
		d_step { named = named | bit(pack); created(Named, pack) }
#endif
	:: else
	fi;
	d_step {
		if
#if BROKEN == COMMIT_OVER_TOMBSTONE
		:: true ->
#else
		:: name[me] == NONE ->
#endif
			name[me] = PUBLISHED; needs[me] = need; created(Names, me)
		:: else
		fi;
		need = 0;
		promises()
	};
#if BROKEN == COMMIT_BEFORE_SEGMENT
	d_step { named = named | bit(pack); created(Named, pack) };
#endif
	endSession(me)
}

/* A restore of snapshot 0. */
proctype Reader() {
	openSession(READER);
	atomic {
		byte gone;
		list(gone, purgedNow, Purges);
		if
		:: name[0] == PUBLISHED && !(gone & 1) -> reading = true; promises()
		:: else
		fi;
		gone = 0
	};
	d_step { reading = false; sessions = sessions & ~bit(READER) }
}

/* Somebody who deletes, takes that back, and purges; again and again. */
proctype Trash() {
	byte s;
	do
	:: atomic { select(s : 0 .. 2); name[s] == PUBLISHED;
		if
#if TRASH > 1
		:: trash[s] == KEPT -> trash[s] = DELETED
		:: trash[s] == DELETED -> trash[s] = KEPT
#else
		:: trash[s] == KEPT -> trash[s] = PURGED; created(Purges, s)
#endif
		:: trash[s] == DELETED -> trash[s] = PURGED; created(Purges, s)
#if BROKEN == UNDELETE_PURGED
		:: trash[s] == PURGED -> trash[s] = KEPT; promises()
#endif
		fi;
		s = 0 }
	od
}

inline remove(s) { if :: in(deadIn(due), s) && name[s] == PUBLISHED -> name[s] = GONE :: else fi }
inline drop(g) { if :: in(due, g) -> state[g] = DROPPED :: else fi }

proctype Collector(byte me) {
	byte number;                    /* of the list that all rests on */
	byte fresh, announced, due;     /* groups that are condemned, announced, swept in it */
	byte avoid;                     /* packs in any of its groups */
	byte settled;                   /* announced groups whose waits have ended */
	byte packsDue, dead;            /* of those */
	byte roots, saw, usable, rest, new, purges;
	byte i, pack = EVACUATED + me;
	settler;

	/* G2 */
again:
	atomic {
		number = newest;
		fresh = inState(CONDEMNED); announced = inState(ANNOUNCED); due = inState(SWEPT);
		avoid = packsOf(fresh|announced|due);
		settled = 0; packsDue = 0; dead = 0
	};

finish:	/* G3, G11 */
	if
	:: due ->
#if BROKEN == REMOVE_UNSETTLED
		d_step { if :: removed < number - 1 -> removed = number - 1 :: else fi };
#endif
#if BROKEN != DELETE_UNSETTLED
		settle(everybody finds the copies and the list);
#endif
		d_step { saw = named };
		/* The segment without them supersedes those that were read just now: what
		 * others have dropped since comes back into the index. */
		d_step {
			named = (named & ~saw) | (saw & ~packsOf(due));
#if BROKEN == JOIN_UNSETTLED
			youngNamed = youngNamed | (saw & named);
#endif
			saw = 0; promises()
		};
		d_step { packs = packs & ~packsOf(due); promises() };
#if BROKEN == NOTHING_IS_FREED
		assert(packs || name[0] != PUBLISHED);
#endif
		d_step {
			remove(0); remove(1); remove(2);
#if BROKEN == REMOVE_TOMBSTONES
			if :: name[1] == TOMBSTONE -> name[1] = NONE :: else fi;
			if :: name[2] == TOMBSTONE -> name[2] = NONE :: else fi;
#endif
			promises()
		};
#if BROKEN != JOIN_UNSETTLED
		/* Then those that were read are removed, and only that one says what they did. */
		settle(everybody finds the segment that supersedes them);
#endif
		/* Lists below the newest. */
		d_step { if :: removed < number - 1 -> removed = number - 1 :: else fi }
	:: else
	fi;

	if :: newest == LISTS -> goto stopped :: else fi;

	/* G4 */
	if
	:: fresh ->
		settle(everybody who opens a session from now on reads the list);
#if BROKEN != SETTLE_ONCE
		settle(everybody who did not is seen);
#endif
		atomic {
#if BROKEN == NO_WAIT
			usable = 0;
#else
			list(usable, sessions, Sessions);
#endif
			if
			:: publishes ->
				newest++;
				if :: fresh & 1 -> state[0] = ANNOUNCED; waits[0] = usable :: else fi;
				if :: fresh & 2 -> state[1] = ANNOUNCED; waits[1] = usable :: else fi;
				drop(0); drop(1)
			:: else
			fi;
			usable = 0; due = 0
		}
		goto again
	:: else
	fi;

#if BROKEN == TRACE_BEFORE_WAIT
	atomic { list(roots, published, Names) };
#endif
	/* G5 */
	if
	:: settled = announced
	:: settled = 0
	:: announced == 3 -> settled = 1
	:: announced == 3 -> settled = 2
	fi;
	if
	:: settled ->
		do
		:: d_step { (waitsOf(settled) & sessions) == 0 } break
		:: atomic { waitsOf(settled) & sessions ->
			i = 1;
			do
			:: (waitsOf(settled) & sessions & bit(i)) -> break
			:: else -> i++
			od;
			if :: name[i] == NONE -> name[i] = TOMBSTONE; created(Names, i) :: else fi;
			sessions = sessions & ~bit(i);
			i = 0 }
		od;
#if BROKEN != TRACE_UNSETTLED
		settle(what they have committed is seen)
#endif
	:: else
	fi;

	/* G6 */
	atomic { list(purges, purgedNow, Purges); packsDue = packsOf(settled); dead = deadIn(settled) };
#if BROKEN != TRACE_BEFORE_WAIT
	atomic { list(roots, published, Names) };
#endif
	/* G7. What is needed and grounded in packs of no group stays there, else in
	 * those of groups that are not swept now, else it is evacuated. */
	atomic {
#if BROKEN == PURGED_SINCE
		dead = purges;
#endif
		roots = roots & ~dead;
		roots = in(roots,0)*needs[0] | in(roots,1)*needs[1] | in(roots,2)*needs[2];
		usable = named & packs;
		if
		:: roots & ~grounded(copies(usable)) -> goto stopped /* an id that cannot be found */
		:: else
		fi;
		rest = copies(usable & ~packsDue);
#if BROKEN == COUNT_CYCLES
		roots = roots & ~present(rest);
#else
		roots = roots & ~grounded(rest);
#endif
		if
		:: roots & A -> if :: new = WHOLE_A :: rest & WHOLE_B -> new = DIFF_A fi
		:: else
		fi;
		if
		:: roots & B -> if :: new = new | WHOLE_B :: (rest|new) & WHOLE_A -> new = new | DIFF_B fi
		:: else
		fi;
		if :: new && held[pack] -> pack = pack + COLLECTORS :: else fi;
		if :: pack >= PACKS -> goto stopped :: else fi;
		roots = 0; usable = 0; rest = 0; dead = 0
	};
	/* G8, G9 */
	if
	:: new ->
		d_step { held[pack] = new; packs = packs | bit(pack); created(Packs, pack) };
#if BROKEN != SEGMENT_LATE
		d_step { named = named | bit(pack); created(Named, pack); new = 0 }
#endif
	:: else
	fi;
	/* G10 */
	atomic {
		if
		:: publishes ->
			newest++;
			if :: settled & 1 -> state[0] = SWEPT :: else fi;
			if :: settled & 2 -> state[1] = SWEPT :: else fi;
			drop(0); drop(1);
			i = 0;
			do
			:: i < GROUPS && state[i] != NEVER -> i++
			:: else -> break
			od;
			if
			:: i < GROUPS ->
#if SIMPLE
				avoid = packs & ~avoid;
				if
				:: avoid & 1  -> group[i] = 1  :: avoid & 2  -> group[i] = 2
				:: avoid & 4  -> group[i] = 4  :: avoid & 8  -> group[i] = 8
				:: avoid & 16 -> group[i] = 16 :: avoid & 32 -> group[i] = 32
				:: avoid & 64 -> group[i] = 64 :: avoid & 128 -> group[i] = 128
				:: else
				fi;
				avoid = 0;
#else
				saw = 0;
				do
				:: saw < PACKS -> if :: in(packs & ~avoid, saw) -> group[i] = group[i] | bit(saw) :: true fi; saw++
				:: else -> break
				od;
#endif
				saw = 0;
				without[i] = purges; born[i] = newest; state[i] = CONDEMNED
			:: else
			fi;
#if BROKEN == DROP_EARLY
			if
			:: settled -> due = settled; drop(0); drop(1); number = newest; purges = 0; i = 0; goto finish
			:: else
			fi
#endif
		:: !publishes && misled ->
			due = settled; purges = 0;
			goto finish
		:: else
		fi;
		i = 0; purges = 0; due = 0
	}
#if BROKEN == SEGMENT_LATE
	if :: new -> d_step { named = named | bit(pack); created(Named, pack); new = 0 } :: else fi;
#endif
	goto again;
stopped:
	skip
}

/* rebuild-index. Its session keeps nobody from ending it, and nothing that it
 * does loses against its end: it may be late with everything. */
proctype Rebuild() {
	byte old, there;
	settler;
#if BROKEN == REBUILD_PACKS_FIRST
	atomic { list(there, packs, Packs) };
#endif
	atomic { old = named };
#if BROKEN != REBUILD_UNSETTLED
	settle(packs that the old segments name are seen);
#endif
#if BROKEN != REBUILD_PACKS_FIRST
	atomic { list(there, packs, Packs) };
#endif
	d_step { named = (named & ~old) | there; old = 0; there = 0; promises() }
}

init {
	atomic {
		/* A past that has left one of these, and a snapshot that uses it. */
		packs = 3; named = 3;
		if
		:: held[0] = WHOLE_A; held[1] = WHOLE_A|DIFF_B
#if !SIMPLE
		:: held[0] = WHOLE_A; packs = 1; named = 1
		:: held[0] = WHOLE_A|WHOLE_B; packs = 1; named = 1
		:: held[0] = WHOLE_A; held[1] = DIFF_B
		:: held[0] = WHOLE_A|DIFF_B; held[1] = WHOLE_B|DIFF_A
#endif
		fi;
		if :: needs[0] = A :: needs[0] = B :: needs[0] = A|B fi;
		needs[0] = needs[0] & grounded(copies(packs));
		needs[0] != 0;
		name[0] = PUBLISHED;
		if :: WRITERS > 0 -> run Writer(1, 2) :: else fi;
		if :: WRITERS > 1 -> run Writer(2, 3) :: else fi;
		if :: COLLECTORS > 0 -> run Collector(0) :: else fi;
		if :: COLLECTORS > 1 -> run Collector(1) :: else fi;
		if :: READERS > 0 -> run Reader() :: else fi;
		if :: REBUILDERS > 0 -> run Rebuild() :: else fi;
		if :: TRASH > 0 -> run Trash() :: else fi
	}
}
