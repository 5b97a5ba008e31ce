/**
 * One VM's boot, as the host sees it go on: from launching to ready. Input: rows of the host's own telemetry and the VM's
 * state; output: the boot, once it is over. A boot that ends otherwise (stopped, crashed) teaches nothing.
 */
import type { VmState } from '../../../shared/resources.ts';
import type { TelemetryBlock } from '../../../shared/telemetry.ts';
import type { Boot } from './boot-profiles.ts';

/** A peak counts when it lasts for about so many rows of a second. */
const WINDOW_ROWS = 3;
/** Held up for this much of a second, a VM's use says what it was given, and hardly what it would have taken. */
const HELD_MAX = 0.95;

export class BootWatch {
  #state: VmState | null = null;
  #firstMs = Number.NaN;
  #lastMs = Number.NaN;
  #window: number[] = [];
  #peakCores = 0;

  /** The boot that has just ended, or null. */
  become(state: VmState): Boot | null {
    const before = this.#state;
    this.#state = state;
    if (state === 'launching') {
      if (before !== 'launching') this.#begin();
      return null;
    }
    if (before !== 'launching' || state !== 'ready' || Number.isNaN(this.#firstMs) || this.#peakCores === 0) return null;
    return { peakCores: this.#peakCores, seconds: (this.#lastMs - this.#firstMs) / 1000 };
  }

  add(block: TelemetryBlock, vcpus: number): void {
    if (this.#state !== 'launching' || block.source !== 'host') return;
    const usage = block.fields.indexOf('vm_cpu.usageCores');
    const throttled = block.fields.indexOf('vm_cpu.throttledFraction');
    const wait = block.fields.indexOf('vm_cpu.waitFraction');
    if (usage < 0) return;
    for (const [row, timeMs] of block.timesMs.entries()) {
      const at = (column: number): number => (column < 0 ? Number.NaN : block.values[row * block.fields.length + column]!);
      const cores = wanted(at(usage), at(throttled), at(wait), vcpus);
      if (Number.isNaN(cores)) continue;
      this.#firstMs = Number.isNaN(this.#firstMs) ? timeMs : this.#firstMs;
      this.#lastMs = timeMs;
      this.#window = [...this.#window, cores].slice(-WINDOW_ROWS);
      const mean = this.#window.reduce((sum, value) => sum + value, 0) / WINDOW_ROWS;
      this.#peakCores = Math.max(this.#peakCores, mean);
    }
  }

  #begin(): void {
    this.#firstMs = Number.NaN;
    this.#lastMs = Number.NaN;
    this.#window = [];
    this.#peakCores = 0;
  }
}

/**
 * What it would have used: in the time in which neither its cap nor others on its host held it up it ran at this rate. Run delay, which
 * `wait` is, includes what is throttled.
 */
function wanted(usageCores: number, throttled: number, wait: number, vcpus: number): number {
  if (Number.isNaN(usageCores)) return Number.NaN;
  const held = Math.min(HELD_MAX, Math.max(0, ...[throttled, wait].filter((fraction) => !Number.isNaN(fraction))));
  return Math.min(vcpus, usageCores + held * vcpus, usageCores / (1 - held));
}
