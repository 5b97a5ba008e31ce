/**
 * The anomaly watch of a VM as its checkpoint keeps it: text, in which bytes are base64. Input: the watch that lives, or the text
 * of an earlier run; output: the other. The two may come in either order. Text of another build costs the VM its watch alone.
 */
import { isHeadroomError } from '../../../shared/errors.ts';
import type { IncidentsState, VmIncidents } from '../anomaly/vm-incidents.ts';

/** Marks base64 in the text. */
const BYTES = 'base64:';

export class KeptWatch {
  #live: VmIncidents | null = null;
  #text: string | null = null;

  get live(): VmIncidents | null {
    return this.#live;
  }

  /** The watch of this VM lives; what an earlier run knew is brought into it. */
  take(live: VmIncidents): void {
    this.#live = live;
    this.#bring();
  }

  restore(text: string | null): void {
    this.#text = text;
    this.#bring();
  }

  /** Null: there is nothing to keep. */
  text(): string | null {
    return this.#live === null ? this.#text : textOf(this.#live.serialise());
  }

  #bring(): void {
    if (this.#live === null || this.#text === null) return;
    const text = this.#text;
    this.#text = null;
    try {
      this.#live.restore(JSON.parse(text, bytesIn) as IncidentsState);
    } catch (error) {
      if (!(error instanceof SyntaxError) && !(error instanceof TypeError) && !isHeadroomError(error, 'STORE_CORRUPT')) throw error;
    }
  }
}

/** Bytes are named here: asked of every value there is, whether it is bytes costs most of the writing. */
function textOf({ watch, ...rest }: IncidentsState): string {
  const metrics = watch.metrics.map((one) => ({ ...one, bytes: inText(one.bytes) }));
  return JSON.stringify({ watch: { ...watch, metrics, joint: inText(watch.joint) }, ...rest });
}

function inText({ buffer, byteOffset, byteLength }: Uint8Array): string {
  return BYTES + Buffer.from(buffer, byteOffset, byteLength).toString('base64');
}

function bytesIn(_: string, value: unknown): unknown {
  return typeof value === 'string' && value.startsWith(BYTES) ? new Uint8Array(Buffer.from(value.slice(BYTES.length), 'base64')) : value;
}
