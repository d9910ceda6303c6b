/**
 * Which threads look at what they list. Attributes with a name cost a quarter of looking it up later,
 * and several times the name alone; so whoever looks up a quarter of the names is given them, page by page,
 * and `find -type f`, `ls -f` or what completes names in a shell is not. What a thread does with
 * attributes that it has shows in no request: so a few names are held back, and those that are looked up
 * are counted for the thread that listed their directory, whoever asks. Owns a guess about each of some
 * threads, and no truth: whoever is guessed wrongly looks names up, one by one, and is told by that.
 */

/** One name of so many is held back, of a thread that is known. Primes: of names that come in pairs, both kinds. */
const ONE_IN = 31;
const ONE_IN_KNOWN = 127;
/** Attributes pay from one name looked up in so many. */
const PAYS = 4;
/** Names held back, in directories that were left, from which on a thread is known. */
const ENOUGH = 48;
/** What came before weighs as many names held back at most: habits change. */
const WEIGHT = 128;
/** Attributes in one directory for a thread of which nothing is known: it may list all of it before it looks. */
const UNPROVEN = 10_000;
/** Threads that something is known of, and directories of which it is known who listed them, at most. */
const THREADS = 64;
const DIRECTORIES = 256;

/** What is known of a thread, and its place in the directory that it lists. */
export class Lister {
  /** Names held back in directories that it has left, in the one that it lists, and how many were looked up. */
  #left = 0;
  #here = 0;
  #lookedUp = 0;
  /** Attributes given in the directory that it lists. */
  #given = 0;
  #turn = 0;

  /** It begins to list a directory: it has had its time to look at the one before. */
  begin(): void {
    this.#left += this.#here;
    this.#here = this.#given = 0;
    if (this.#left <= WEIGHT) return;
    this.#lookedUp *= WEIGHT / this.#left;
    this.#left = WEIGHT;
  }

  /** Whether its next page is to have attributes. */
  get looks(): boolean {
    if (this.#left >= ENOUGH) return this.#lookedUp * PAYS >= this.#left;
    const all = this.#left + this.#here;
    return all >= ENOUGH && this.#lookedUp * PAYS >= all || this.#given < UNPROVEN;
  }

  /** A file that the kernel does not know comes next in a page with attributes. True: without its own. */
  holdsBack(): boolean {
    if (++this.#turn < (this.#left < ENOUGH ? ONE_IN : ONE_IN_KNOWN)) {
      this.#given++;
      return false;
    }
    this.#turn = 0;
    return true;
  }

  /** A file that the kernel does not know was given without attributes. */
  heldBack(): void {
    this.#here++;
  }

  /** One that was held back was looked up, or another one of the same directory. */
  lookedUp(): void {
    if (this.#lookedUp < this.#left + this.#here) this.#lookedUp++;
  }
}

export class Listers {
  /** By thread, and by the directory that it listed last of all: in the order in which they began. */
  readonly #threads = new Map<number, Lister>();
  readonly #directories = new Map<number, Lister>();

  /** Thread `pid` reads a page of `directory`, from its beginning or further on. */
  reads(
    pid: number,
    { directory, fromBeginning }: { directory: number; fromBeginning: boolean },
  ): Lister {
    let lister = this.#threads.get(pid);
    if (lister !== undefined && !fromBeginning) return lister;
    lister ??= new Lister();
    lister.begin();
    putLast(this.#threads, pid, lister, THREADS);
    putLast(this.#directories, directory, lister, DIRECTORIES);
    return lister;
  }

  /** Somebody wants to know what a name in `directory` stands for that is no directory: those are looked up by whoever walks. */
  lookedUp(directory: number): void {
    this.#directories.get(directory)?.lookedUp();
  }
}

/** Puts an entry behind all others; above `most`, the first one goes. */
function putLast(map: Map<number, Lister>, key: number, lister: Lister, most: number): void {
  map.delete(key);
  map.set(key, lister);
  if (map.size > most) map.delete(map.keys().next().value!);
}
