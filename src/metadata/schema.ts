/**
 * The document of stored state: every table of `metadata.db` and `history.db`, with the meaning,
 * unit, sentinel and owner of each column. Invariants are CHECKs, so that a defect stops a
 * transaction instead of reaching the disk. The only writer is the filesystem isolate.
 *
 * Conventions. Ids are below 2^53 and never reused. Names, link targets and xattr values are bytes.
 * Times are two integers, seconds (may be negative) and nanoseconds; `*_ms` are wall-clock
 * milliseconds, for ages only, never for order. "charge" of n content bytes is n rounded up to 4096:
 * what they occupy on the local disk.
 *
 * Per chunk of a file's working map (law "per chunk"):
 *   no row                       a hole: reads as zeros
 *   chunk NULL, resident 1       local only (dirty): its bytes are nowhere else
 *   chunk set,  resident 1       confirmed in the bucket and also here
 *   chunk set,  resident 0       evicted: only in the bucket
 */

import { RecordTable } from "../domain/metadata_rows.ts";

/** Version of the schema below, stored in `setting.schema_version`. Migrations stand in migrations.ts. */
export const SCHEMA_VERSION = 1;

/** What kinds of `version` rows there are. */
export const VersionKind = {
  /** Being copied in slices; becomes SAVED in one transaction or GARBAGE. Swept at mount. */
  BUILDING: 0,
  /** What the bucket can restore for `inode`; at most one per inode. */
  SAVED: 1,
  /** The saved version of a file that `inode` replaced by rename or truncation; dropped when `inode` is saved. */
  PREDECESSOR: 2,
  /** Of a file that was unlinked, replaced or overwritten; kept for the trash period. */
  TRASH: 3,
  GARBAGE: 4, // rows are being deleted in slices
} as const;

/** Kinds of which there is little: word for word in queries, for the partial index. IN (0, 3, 4) costs each write 8 µs. */
export const SWEPT_KINDS = "kind NOT BETWEEN 1 AND 2";

/** Notes that the bucket does not know a row as it is now. Two microseconds a key. */
const log = (table: RecordTable, key: string) =>
  `INSERT INTO changes VALUES (${table}, ${key}, (SELECT sequence FROM total))
    ON CONFLICT (tbl, key) DO UPDATE SET sequence = excluded.sequence WHERE sequence <> excluded.sequence;`;

export const METADATA_SCHEMA = `
CREATE TABLE setting (
  name  TEXT PRIMARY KEY,     -- file_system_id, chunk_size (bytes), schema_version, created_ms, store (URL
                              -- without credentials), clean (1 after an orderly stop), lent_boot_id (lending.ts),
                              -- generation_reserved (see database.ts), epoch, suspect (why the mount is read-only),
                              -- sorted_by, sorted_before_move (fact_desk.ts), metadata_* (change_log.ts)
  value ANY NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE inode (
  id          INTEGER PRIMARY KEY AUTOINCREMENT,  -- the inode number; 1 is the root directory
  mode        INTEGER NOT NULL,                   -- st_mode
  uid         INTEGER NOT NULL,
  gid         INTEGER NOT NULL,
  nlink       INTEGER NOT NULL CHECK (nlink >= 0),-- directories: 2 + number of child directories
  rdev        INTEGER NOT NULL DEFAULT 0,         -- device nodes: the kernel's 32-bit encoding
  size        INTEGER NOT NULL DEFAULT 0 CHECK (size >= 0),  -- bytes; directories 4096; symlinks the target's length
  atime_s     INTEGER NOT NULL, atime_ns INTEGER NOT NULL,
  mtime_s     INTEGER NOT NULL, mtime_ns INTEGER NOT NULL,
  ctime_s     INTEGER NOT NULL, ctime_ns INTEGER NOT NULL,
  btime_s     INTEGER NOT NULL, btime_ns INTEGER NOT NULL,   -- creation
  target      BLOB,                               -- symlinks only
  -- Content of regular files. Written only by the content half of the filesystem isolate.
  generation  INTEGER NOT NULL DEFAULT 0,         -- counter value of the last change of content or size
  incarnation INTEGER NOT NULL DEFAULT 0,         -- names the content file <inode>.<incarnation>; 0: none
  allocated   INTEGER NOT NULL DEFAULT 0 CHECK (allocated >= 0),  -- charge of all map rows, bytes
  resident    INTEGER NOT NULL DEFAULT 0 CHECK (resident >= 0 AND resident <= allocated), -- charge of resident rows
  local       INTEGER NOT NULL DEFAULT 0 CHECK (local >= 0 AND local <= resident),   -- charge of local-only rows
  dirty       INTEGER NOT NULL DEFAULT 0 CHECK (dirty IN (0, 1)), -- working map or size differ from the saved version
  changed_ms  INTEGER NOT NULL DEFAULT 0,         -- wall clock of the last change of content or size
  dead_from   INTEGER,                            -- map rows with idx >= this are truncated away, deleted in slices
  pinned      INTEGER NOT NULL DEFAULT 0 CHECK (pinned IN (0, 1)),-- the user's veto on eviction; of a directory: for all below
                                                  -- it. Until when: xattr user.zero.pin, without one for ever (pins.ts)
  kept        INTEGER NOT NULL DEFAULT 0 CHECK (kept IN (0, 1))   -- class local: dirty, and a policy keeps it out of the bucket
) STRICT;
CREATE INDEX inode_dirty ON inode (changed_ms) WHERE dirty = 1 AND kept = 0;
CREATE INDEX inode_kept ON inode (id) WHERE kept = 1;
CREATE INDEX inode_dead ON inode (id) WHERE dead_from IS NOT NULL;
CREATE INDEX inode_pinned ON inode (id) WHERE pinned = 1;

CREATE TABLE dentry (
  id     INTEGER PRIMARY KEY AUTOINCREMENT,       -- readdir cookie: stable, never reused; 1 and 2 never occur
  parent INTEGER NOT NULL REFERENCES inode (id),
  name   BLOB NOT NULL CHECK (length(name) BETWEEN 1 AND 255),
  inode  INTEGER NOT NULL REFERENCES inode (id),
  UNIQUE (parent, name)
) STRICT;
CREATE INDEX dentry_cookie ON dentry (parent, id);
CREATE INDEX dentry_inode ON dentry (inode);

CREATE TABLE xattr (
  id    INTEGER PRIMARY KEY,
  inode INTEGER NOT NULL REFERENCES inode (id),
  name  BLOB NOT NULL CHECK (length(name) BETWEEN 1 AND 255),
  value BLOB NOT NULL CHECK (length(value) <= 65536),
  UNIQUE (inode, name)
) STRICT;

-- Inodes without a name, kept while they are open or known to the kernel; swept at mount, in slices.
CREATE TABLE orphan (
  inode INTEGER PRIMARY KEY REFERENCES inode (id)
) STRICT;

-- Files into whose content a program may store through a mapping that no request tells of: no row of
-- them counts as confirmed. Durable before the open that makes it possible is answered; not shipped.
CREATE TABLE mapped (
  inode INTEGER PRIMARY KEY REFERENCES inode (id)
) STRICT;

CREATE TABLE pack (
  id          INTEGER PRIMARY KEY AUTOINCREMENT,
  name        BLOB NOT NULL UNIQUE CHECK (length(name) = 16),  -- the pack id in the bucket
  version_id  TEXT NOT NULL,                      -- the store's version id of the confirmed PUT
  bytes       INTEGER NOT NULL,                   -- length of the object
  verified    INTEGER NOT NULL DEFAULT 0 CHECK (verified IN (0, 1)), -- a HEAD by version id found the right length
  live_chunks INTEGER NOT NULL DEFAULT 0 CHECK (live_chunks >= 0),   -- chunks of it with refs > 0 (triggers)
  live_bytes  INTEGER NOT NULL DEFAULT 0 CHECK (live_bytes >= 0),    -- their stored bytes (triggers)
  dead_at     INTEGER,                            -- law 5: sequence at which the last reference went; NULL while live
  condemned   INTEGER NOT NULL DEFAULT 0 CHECK (condemned IN (0, 1)),-- law 5 (b): dedupe does not match it any more
  created_ms  INTEGER NOT NULL,
  CHECK (condemned = 0 OR (live_chunks = 0 AND dead_at IS NOT NULL)) -- law 5 (b): it never comes alive again
) STRICT;
CREATE INDEX pack_unreferenced ON pack (id) WHERE live_chunks = 0;
CREATE INDEX pack_unverified ON pack (id) WHERE verified = 0;

CREATE TABLE chunk (
  id      INTEGER PRIMARY KEY AUTOINCREMENT,
  hash    BLOB NOT NULL CHECK (length(hash) = 32),-- chunk id of the bucket format
  pack    INTEGER NOT NULL REFERENCES pack (id),
  ordinal INTEGER NOT NULL,                       -- place in the pack, from 0
  offset  INTEGER NOT NULL,                       -- of the stored bytes in the pack object
  stored  INTEGER NOT NULL,                       -- stored bytes (after codec)
  length  INTEGER NOT NULL CHECK (length > 0),    -- plain bytes, at most chunk_size
  codec   INTEGER NOT NULL,                       -- 0 plain, 1 zstd
  refs    INTEGER NOT NULL DEFAULT 0 CHECK (refs >= 0),  -- map and version_chunk rows that name it (triggers)
  lost    INTEGER NOT NULL DEFAULT 0 CHECK (lost IN (0, 1)), -- the store said NoSuchKey for the confirmed version
  UNIQUE (pack, ordinal)
) STRICT;
CREATE INDEX chunk_hash ON chunk (hash);
CREATE INDEX chunk_lost ON chunk (id) WHERE lost = 1;

-- The working map: what the mount shows.
CREATE TABLE map (
  inode      INTEGER NOT NULL REFERENCES inode (id),
  idx        INTEGER NOT NULL CHECK (idx >= 0),   -- chunk index: offset / chunk_size
  chunk      INTEGER REFERENCES chunk (id),       -- NULL: local only
  length     INTEGER NOT NULL CHECK (length > 0), -- valid bytes; the rest of the chunk reads as zeros
  resident   INTEGER NOT NULL CHECK (resident IN (0, 1)),
  generation INTEGER NOT NULL,                    -- counter value of the last write into this chunk
  PRIMARY KEY (inode, idx),
  CHECK (chunk IS NOT NULL OR resident = 1)
) STRICT, WITHOUT ROWID;

CREATE TABLE version (
  id         INTEGER PRIMARY KEY AUTOINCREMENT,
  inode      INTEGER NOT NULL,                    -- whose; may be gone for TRASH
  kind       INTEGER NOT NULL CHECK (kind BETWEEN 0 AND 4),  -- VersionKind
  generation INTEGER NOT NULL,                    -- of the inode when the version was taken
  size       INTEGER NOT NULL,
  mode       INTEGER NOT NULL, uid INTEGER NOT NULL, gid INTEGER NOT NULL,
  mtime_s    INTEGER NOT NULL, mtime_ns INTEGER NOT NULL,
  saved_ms   INTEGER NOT NULL,                    -- wall clock when it was saved
  trashed_ms INTEGER,                             -- TRASH: when, for people
  trashed_at INTEGER,                             -- TRASH: sequence at that time; store_mark tells the age
  path       BLOB                                 -- TRASH, PREDECESSOR: names from the root with slashes between;
                                                  -- NULL while the inode still has the name
) STRICT;
CREATE INDEX version_inode ON version (inode, kind);
CREATE UNIQUE INDEX version_saved ON version (inode) WHERE kind = 1;
CREATE INDEX version_swept ON version (kind, trashed_at) WHERE ${SWEPT_KINDS};

CREATE TABLE version_chunk (
  version INTEGER NOT NULL REFERENCES version (id),
  idx     INTEGER NOT NULL,
  chunk   INTEGER NOT NULL REFERENCES chunk (id),
  length  INTEGER NOT NULL CHECK (length > 0),
  PRIMARY KEY (version, idx)
) STRICT, WITHOUT ROWID;

-- How old a sequence is by the store's clock: what is stamped with a sequence up to this one was so before the
-- store's clock showed this time. Ages of deletions come from here, never from a local clock.
CREATE TABLE store_mark (
  sequence INTEGER PRIMARY KEY,
  store_ms INTEGER NOT NULL                       -- the store's Date, milliseconds; never less than an earlier one
) STRICT;

-- Sums over inode, kept exact by triggers, so that nobody ever counts rows. One row.
CREATE TABLE total (
  only        INTEGER PRIMARY KEY CHECK (only = 1),
  files       INTEGER NOT NULL CHECK (files >= 0),       -- inodes of any type
  allocated   INTEGER NOT NULL CHECK (allocated >= 0),   -- as in inode, bytes
  resident    INTEGER NOT NULL CHECK (resident >= 0),
  local       INTEGER NOT NULL CHECK (local >= 0),
  dirty_files INTEGER NOT NULL CHECK (dirty_files >= 0), -- those of class local too
  sequence    INTEGER NOT NULL,                          -- grows with content transactions and before each look at changes
  kept_files  INTEGER NOT NULL DEFAULT 0 CHECK (kept_files >= 0),  -- of class local, and their local-only charge
  kept_bytes  INTEGER NOT NULL DEFAULT 0 CHECK (kept_bytes >= 0),
  redo_group  INTEGER NOT NULL DEFAULT 0                 -- last group of operations that was committed (group_commit.ts);
                                                         -- here, because nearly every group writes this page anyway
) STRICT;
INSERT INTO total VALUES (1, 0, 0, 0, 0, 0, 0, 0, 0, 0);

CREATE TRIGGER inode_insert AFTER INSERT ON inode BEGIN
  UPDATE total SET files = files + 1, allocated = allocated + new.allocated, resident = resident + new.resident,
    local = local + new.local, dirty_files = dirty_files + new.dirty;
  ${log(RecordTable.INODE, "new.id")}
END;
CREATE TRIGGER inode_delete AFTER DELETE ON inode BEGIN
  UPDATE total SET files = files - 1, allocated = allocated - old.allocated, resident = resident - old.resident,
    local = local - old.local, dirty_files = dirty_files - old.dirty,
    kept_files = kept_files - old.kept, kept_bytes = kept_bytes - old.kept * old.local;
  ${log(RecordTable.INODE, "old.id")}
END;
CREATE TRIGGER inode_content AFTER UPDATE OF allocated, resident, local, dirty, kept ON inode
WHEN old.allocated <> new.allocated OR old.resident <> new.resident OR old.local <> new.local OR old.dirty <> new.dirty
  OR old.kept <> new.kept BEGIN
  UPDATE total SET allocated = allocated + new.allocated - old.allocated, resident = resident + new.resident - old.resident,
    local = local + new.local - old.local, dirty_files = dirty_files + new.dirty - old.dirty,
    kept_files = kept_files + new.kept - old.kept, kept_bytes = kept_bytes + new.kept * new.local - old.kept * old.local;
END;

-- What the bucket has not been told yet: the rows of these keys as they are when they are read, or that they
-- are gone. One row per key, so that the log is no longer than what is unshipped. Kept by triggers, so that no
-- code path can forget it. Not logged: access times alone, residency, the working map (none can be restored).
CREATE TABLE changes (
  tbl      INTEGER NOT NULL,                      -- RecordTable
  key      INTEGER NOT NULL,
  sequence INTEGER NOT NULL,                      -- total.sequence at its last change
  PRIMARY KEY (tbl, key)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER inode_changed AFTER UPDATE ON inode
WHEN old.ctime_ns <> new.ctime_ns OR old.ctime_s <> new.ctime_s OR old.generation <> new.generation
  OR old.dirty <> new.dirty OR old.nlink <> new.nlink OR old.mtime_ns <> new.mtime_ns OR old.mtime_s <> new.mtime_s
  OR old.size <> new.size OR old.mode <> new.mode OR old.uid <> new.uid OR old.gid <> new.gid
  OR old.pinned <> new.pinned BEGIN
  ${log(RecordTable.INODE, "new.id")}
END;
CREATE TRIGGER dentry_inserted AFTER INSERT ON dentry BEGIN
  ${log(RecordTable.DENTRY, "new.id")}
END;
CREATE TRIGGER dentry_changed AFTER UPDATE ON dentry BEGIN
  ${log(RecordTable.DENTRY, "new.id")}
END;
CREATE TRIGGER dentry_deleted AFTER DELETE ON dentry BEGIN
  ${log(RecordTable.DENTRY, "old.id")}
END;
CREATE TRIGGER xattr_inserted AFTER INSERT ON xattr BEGIN
  ${log(RecordTable.XATTR, "new.id")}
END;
CREATE TRIGGER xattr_changed AFTER UPDATE ON xattr BEGIN
  ${log(RecordTable.XATTR, "new.id")}
END;
CREATE TRIGGER xattr_deleted AFTER DELETE ON xattr BEGIN
  ${log(RecordTable.XATTR, "old.id")}
END;
-- A version that is being built or deleted does not exist as far as the bucket is concerned.
CREATE TRIGGER version_inserted AFTER INSERT ON version WHEN new.kind BETWEEN 1 AND 3 BEGIN
  ${log(RecordTable.VERSION, "new.id")}
  ${log(RecordTable.VERSION_LIST, "new.id")}
END;
CREATE TRIGGER version_published AFTER UPDATE OF kind ON version WHEN old.kind = 0 AND new.kind BETWEEN 1 AND 3 BEGIN
  ${log(RecordTable.VERSION, "new.id")}
  ${log(RecordTable.VERSION_LIST, "new.id")}
END;
CREATE TRIGGER version_changed AFTER UPDATE OF kind, inode, generation, path ON version WHEN old.kind BETWEEN 1 AND 3 BEGIN
  ${log(RecordTable.VERSION, "new.id")}
END;
CREATE TRIGGER version_deleted AFTER DELETE ON version WHEN old.kind BETWEEN 1 AND 3 BEGIN
  ${log(RecordTable.VERSION, "old.id")}
END;
CREATE TRIGGER pack_inserted AFTER INSERT ON pack BEGIN
  ${log(RecordTable.PACK, "new.id")}
  ${log(RecordTable.PACK_LIST, "new.id")}
END;
CREATE TRIGGER pack_changed AFTER UPDATE OF verified, condemned ON pack
WHEN old.verified <> new.verified OR old.condemned <> new.condemned BEGIN
  ${log(RecordTable.PACK, "new.id")}
END;
CREATE TRIGGER pack_deleted AFTER DELETE ON pack BEGIN
  ${log(RecordTable.PACK, "old.id")}
END;
CREATE TRIGGER chunk_changed AFTER UPDATE OF lost, pack ON chunk WHEN old.lost <> new.lost OR old.pack <> new.pack BEGIN
  ${log(RecordTable.PACK_LIST, "old.pack")}
  ${log(RecordTable.PACK_LIST, "new.pack")}
END;
CREATE TRIGGER chunk_deleted AFTER DELETE ON chunk BEGIN
  ${log(RecordTable.PACK_LIST, "old.pack")}
END;

-- References to chunks are counted where they are made, so no code path can forget one.
CREATE TRIGGER map_insert AFTER INSERT ON map WHEN new.chunk IS NOT NULL BEGIN
  UPDATE chunk SET refs = refs + 1 WHERE id = new.chunk;
END;
CREATE TRIGGER map_delete AFTER DELETE ON map WHEN old.chunk IS NOT NULL BEGIN
  UPDATE chunk SET refs = refs - 1 WHERE id = old.chunk;
END;
CREATE TRIGGER map_update AFTER UPDATE OF chunk ON map WHEN old.chunk IS NOT new.chunk BEGIN
  UPDATE chunk SET refs = refs + 1 WHERE id = new.chunk;
  UPDATE chunk SET refs = refs - 1 WHERE id = old.chunk;
END;
CREATE TRIGGER version_chunk_insert AFTER INSERT ON version_chunk BEGIN
  UPDATE chunk SET refs = refs + 1 WHERE id = new.chunk;
END;
CREATE TRIGGER version_chunk_delete AFTER DELETE ON version_chunk BEGIN
  UPDATE chunk SET refs = refs - 1 WHERE id = old.chunk;
END;
CREATE TRIGGER chunk_live AFTER UPDATE OF refs ON chunk WHEN old.refs = 0 AND new.refs > 0 BEGIN
  UPDATE pack SET live_chunks = live_chunks + 1, live_bytes = live_bytes + new.stored, dead_at = NULL WHERE id = new.pack;
END;
CREATE TRIGGER chunk_dead AFTER UPDATE OF refs ON chunk WHEN old.refs > 0 AND new.refs = 0 BEGIN
  UPDATE pack SET live_chunks = live_chunks - 1, live_bytes = live_bytes - new.stored,
    dead_at = CASE WHEN live_chunks = 1 THEN (SELECT sequence FROM total) ELSE dead_at END WHERE id = new.pack;
END;
-- A chunk was copied into another pack: its references go with it.
CREATE TRIGGER chunk_moved AFTER UPDATE OF pack ON chunk WHEN old.pack <> new.pack AND new.refs > 0 BEGIN
  UPDATE pack SET live_chunks = live_chunks + 1, live_bytes = live_bytes + new.stored, dead_at = NULL WHERE id = new.pack;
  UPDATE pack SET live_chunks = live_chunks - 1, live_bytes = live_bytes - old.stored,
    dead_at = CASE WHEN live_chunks = 1 THEN (SELECT sequence FROM total) ELSE dead_at END WHERE id = old.pack;
  ${log(RecordTable.PACK_LIST, "new.pack")}
  ${log(RecordTable.PACK_LIST, "old.pack")}
END;
`;

/** What `usage.class` means: where the policy has put a file with resident bytes. */
export const UsageClass = {
  /** Something about it has changed, or the policy has: to be looked at. */
  UNSORTED: 0,
  /** Leaves before all others. */
  FIRST: 1,
  /** May leave, by rank. */
  RANKED: 2,
  /** Not yet: from `wake_ms` on it is looked at again. */
  HELD: 3,
  /** By a rule or by the user. */
  PINNED: 4,
  /** Never uploaded. */
  LOCAL: 5,
  /** Not in the bucket yet; comes back when it is saved. */
  DIRTY: 6,
  /** Only its head is left. */
  HEAD: 7,
} as const;
export type UsageClass = (typeof UsageClass)[keyof typeof UsageClass];

/**
 * `history.db`, never shipped: what was used when, and what the policy makes of it. It may lag behind
 * or be lost; then files count as last used when they were created or last changed.
 */
export const HISTORY_SCHEMA = `
CREATE TABLE usage (
  inode        INTEGER PRIMARY KEY,
  last_used_ms INTEGER NOT NULL,      -- wall clock of the last use through the mount by a reader that counts
  heat         REAL NOT NULL,         -- decayed count of uses at heat_at_ms (src/domain/heat.ts)
  heat_at_ms   INTEGER NOT NULL,
  uses         BLOB NOT NULL,         -- times of its last uses, oldest first: float64, little-endian, milliseconds
  since_ms     INTEGER NOT NULL,      -- when it was created or its content last brought back
  recalled_by  TEXT,                  -- name of the program that brought it back; NULL: nobody has
  resident     INTEGER NOT NULL,      -- 1 while the file has resident bytes: it is a candidate for eviction
  class        INTEGER NOT NULL DEFAULT 0,  -- UsageClass, as the engine has said
  rank         REAL NOT NULL DEFAULT 0,     -- the lowest leaves first; changes with a use or the size only
  wake_ms      INTEGER,               -- when class or rank may be others although nobody touches it; NULL: never
  bytes        INTEGER NOT NULL DEFAULT 0,  -- resident charge when it was sorted
  stamp        INTEGER NOT NULL DEFAULT 0,  -- grows with each change: what was sorted before it does not count
  settled      INTEGER                -- SortedFile.settled (usage_table.ts); NULL: its facts have to be asked
) STRICT;
CREATE INDEX usage_queue ON usage (class, rank, inode, bytes, stamp, settled, wake_ms) WHERE resident = 1;
CREATE INDEX usage_wake ON usage (wake_ms) WHERE resident = 1 AND wake_ms IS NOT NULL;

CREATE TABLE tally (                  -- sums over usage WHERE resident = 1, by class, kept by triggers
  class INTEGER PRIMARY KEY,
  files INTEGER NOT NULL,
  bytes INTEGER NOT NULL
) STRICT;
INSERT INTO tally (class, files, bytes) VALUES (0, 0, 0), (1, 0, 0), (2, 0, 0), (3, 0, 0), (4, 0, 0), (5, 0, 0), (6, 0, 0), (7, 0, 0);
CREATE TRIGGER usage_inserted AFTER INSERT ON usage WHEN new.resident = 1 BEGIN
  UPDATE tally SET files = files + 1, bytes = bytes + new.bytes WHERE class = new.class;
END;
CREATE TRIGGER usage_deleted AFTER DELETE ON usage WHEN old.resident = 1 BEGIN
  UPDATE tally SET files = files - 1, bytes = bytes - old.bytes WHERE class = old.class;
END;
CREATE TRIGGER usage_changed AFTER UPDATE OF resident, class, bytes ON usage
WHEN old.resident <> new.resident OR old.class <> new.class OR old.bytes <> new.bytes BEGIN
  UPDATE tally SET files = files - old.resident, bytes = bytes - old.resident * old.bytes WHERE class = old.class;
  UPDATE tally SET files = files + new.resident, bytes = bytes + new.resident * new.bytes WHERE class = new.class;
END;

-- What has happened to a file, for zero why. Bounded per file and in all (journal_table.ts).
CREATE TABLE journal (
  id    INTEGER PRIMARY KEY AUTOINCREMENT,
  inode INTEGER NOT NULL,
  at_ms INTEGER NOT NULL,
  what  TEXT NOT NULL,                -- saved, evicted, recalled, pinned, unpinned
  who   TEXT NOT NULL,                -- the rule with its place, or the name of a program
  bytes INTEGER NOT NULL
) STRICT;
CREATE INDEX journal_inode ON journal (inode, id);
`;
