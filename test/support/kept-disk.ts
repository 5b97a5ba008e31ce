/**
 * What a guest wrote into its memory and onto its disk, and whether both still hold it. Input: the stage, how many files there are; output:
 * checksums. Throws with what did not hold.
 */
import type { TwoHostStage } from './two-host-stage.ts';

export class KeptDisk {
  readonly #guest: TwoHostStage['guest'];
  readonly #parts: number;
  #sum = '';
  #disk = '';

  constructor({ guest }: TwoHostStage, parts: number) {
    this.#guest = guest;
    this.#parts = parts;
  }

  /** What the guest says of its disk: a checksum of its files at the end. */
  get disk(): string {
    return this.#disk;
  }

  /** These of its files anew, in memory first. */
  async write(first: number, count: number): Promise<void> {
    await this.#guest.ask(`parts ${first} ${count}`);
    this.#sum = await this.#guest.ask('sum');
    await this.#guest.ask('keep');
    this.#disk = await this.ask();
    expect('the disk holds what memory does', this.#disk.slice(-32) === this.#sum.slice(-32), [this.#disk, this.#sum]);
  }

  ask(): Promise<string> {
    return this.#guest.ask(`kept ${this.#parts}`);
  }

  async unharmed(when: string): Promise<void> {
    const now = [await this.#guest.ask('sum'), await this.ask()];
    expect(`${when}, its memory and its disk are as they were`, now[0] === this.#sum && now[1] === this.#disk, now);
  }
}

export function expect(what: string, holds: boolean, found: unknown): void {
  if (!holds) throw new Error(`${what}: ${JSON.stringify(found)}`);
}
