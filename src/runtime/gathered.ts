/**
 * Puts questions together: one goes at once, and those that come while an answer is awaited go together
 * in the next. For calls that cost more than what they ask for. Owns only the line; asks once at a time.
 */

interface Waiting<Question, Answer> {
  question: Question;
  resolve: (answer: Answer) => void;
  reject: (error: unknown) => void;
}

export class Gathered<Question, Answer> {
  readonly #call: (questions: Question[]) => Promise<Answer[]>;
  readonly #most: number;
  readonly #line: Waiting<Question, Answer>[] = [];
  #asking = false;

  /** `call` answers each question, in order; what it rejects with is the answer to all of them. */
  constructor(call: (questions: Question[]) => Promise<Answer[]>, { most }: { most: number }) {
    this.#call = call;
    this.#most = most;
  }

  ask(question: Question): Promise<Answer> {
    return new Promise((resolve, reject) => {
      this.#line.push({ question, resolve, reject });
      if (!this.#asking) this.#ask();
    });
  }

  async #ask(): Promise<void> {
    this.#asking = true;
    // Whatever the same turn brings goes into the first question too.
    await Promise.resolve();
    while (this.#line.length > 0) {
      const asked = this.#line.splice(0, this.#most);
      try {
        const answers = await this.#call(asked.map(({ question }) => question));
        asked.forEach(({ resolve }, at) => resolve(answers[at]));
      } catch (error) {
        for (const { reject } of asked) reject(error);
      }
    }
    this.#asking = false;
  }
}
