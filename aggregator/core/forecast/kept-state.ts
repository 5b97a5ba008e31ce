/**
 * A forecaster whose state is typed arrays: written, read back and counted in one way. Input: what names the layout and the arrays;
 * output: bytes and back (state-bytes.ts), and factories over how such a forecaster is built.
 */
import type { Forecaster, ForecasterFactory, ForecasterOptions } from './forecaster.ts';
import { bytesOf, packState, type StateArray, unpackState } from './state-bytes.ts';

export abstract class KeptState {
  /** Names forecaster, version of its format and everything the layout depends on. */
  protected abstract get stateTag(): string;
  /** All that was learnt, always in the same order and of the same lengths. */
  protected abstract get stateArrays(): StateArray[];

  get stateBytes(): number {
    return bytesOf(this.stateArrays);
  }

  serialise(): Uint8Array {
    return packState(this.stateTag, this.stateArrays);
  }

  /** Takes over what `serialise` gave; STORE_CORRUPT when it is another build's, or another series' step and seasons. */
  restoreFrom(bytes: Uint8Array): void {
    unpackState(this.stateTag, bytes, this.stateArrays);
    this.restored();
  }

  /** What follows from the arrays is worked out anew. */
  protected restored(): void {}
}

export type KeptForecaster = Forecaster & { restoreFrom(bytes: Uint8Array): void };

/** The tag of a forecaster whose layout depends on all of the options. */
export function tagOf(name: string, version: number, { stepMs, seasonsMs, resolution }: ForecasterOptions): string {
  return `${name} ${version} step=${stepMs} seasons=${seasonsMs.join(',')} resolution=${resolution ?? ''}`;
}

export function factoryOf(build: (options: ForecasterOptions) => KeptForecaster): ForecasterFactory {
  return {
    create: build,
    restore(options, bytes) {
      const forecaster = build(options);
      forecaster.restoreFrom(bytes);
      return forecaster;
    },
  };
}
