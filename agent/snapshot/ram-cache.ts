/**
 * Sealed records in memory, the ones unused for longest given up first. Input: a budget, records by key; output: records. What is handed
 * out is never written to.
 */
export class RamCache {
  readonly capacityBytes: number;
  readonly #kept = new Map<string, Buffer>();
  usedBytes = 0;
  hits = 0;
  misses = 0;

  constructor(capacityBytes: number) {
    this.capacityBytes = capacityBytes;
  }

  get(key: string): Buffer | undefined {
    const found = this.#kept.get(key);
    if (found === undefined) {
      this.misses++;
      return undefined;
    }
    this.hits++;
    // Put at the end: the first is the one unused for longest.
    this.#kept.delete(key);
    this.#kept.set(key, found);
    return found;
  }

  put(key: string, bytes: Buffer): void {
    if (bytes.length > this.capacityBytes || this.#kept.has(key)) return;
    this.#kept.set(key, bytes);
    this.usedBytes += bytes.length;
    for (const [oldest, given] of this.#kept) {
      if (this.usedBytes <= this.capacityBytes) break;
      this.#kept.delete(oldest);
      this.usedBytes -= given.length;
    }
  }

  forget(key: string): void {
    this.usedBytes -= this.#kept.get(key)?.length ?? 0;
    this.#kept.delete(key);
  }
}
