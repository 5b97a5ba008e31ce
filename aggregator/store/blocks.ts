/**
 * What every series store asks of the blocks it is given. Input: blocks; output: their rows counted, their shape checked
 * (FRAME_INVALID), or the blocks without rows that come too late or from the future.
 */
import { HeadroomError } from '../../shared/errors.ts';
import type { TelemetryBlock } from '../../shared/telemetry.ts';

export function countRows(blocks: readonly TelemetryBlock[]): number {
  let rows = 0;
  for (const block of blocks) rows += block.timesMs.length;
  return rows;
}

/** Throws FRAME_INVALID when a block's arrays do not fit together or a time is not a whole number of milliseconds. */
export function checkShape(block: TelemetryBlock): void {
  const { fields, timesMs, values } = block;
  if (fields.length === 0 || values.length !== timesMs.length * fields.length) {
    throw new HeadroomError(
      'FRAME_INVALID',
      `telemetry block of ${block.subject.kind} ${block.subject.id}: ${timesMs.length} rows of ${fields.length} fields need ${timesMs.length * fields.length} values, there are ${values.length}`,
    );
  }
  for (let i = 0; i < timesMs.length; i++) {
    if (!Number.isSafeInteger(timesMs[i]!)) {
      throw new HeadroomError(
        'FRAME_INVALID',
        `telemetry block of ${block.subject.kind} ${block.subject.id}: time ${timesMs[i]}; times are integer UTC milliseconds`,
      );
    }
  }
}

/** The blocks with the rows within [leastMs, mostMs]; the same array when that is all of them. `refused` counts the others by reason. */
export function timelyBlocks(
  blocks: readonly TelemetryBlock[],
  leastMs: number,
  mostMs: number,
  refused: Record<string, number>,
): readonly TelemetryBlock[] {
  if (blocks.every(({ timesMs }) => timesMs.every((time) => time >= leastMs && time <= mostMs))) return blocks;
  return blocks.flatMap((block) => {
    const rows: number[] = [];
    for (const [row, time] of block.timesMs.entries()) {
      if (time < leastMs) refused['too-late'] = (refused['too-late'] ?? 0) + 1;
      else if (time > mostMs) refused.future = (refused.future ?? 0) + 1;
      else rows.push(row);
    }
    return rows.length === 0 ? [] : [pickRows(block, rows)];
  });
}

function pickRows(block: TelemetryBlock, rows: readonly number[]): TelemetryBlock {
  const width = block.fields.length;
  const values = new Float64Array(rows.length * width);
  for (const [i, row] of rows.entries()) values.set(block.values.subarray(row * width, (row + 1) * width), i * width);
  return { ...block, timesMs: Float64Array.from(rows, (row) => block.timesMs[row]!), values };
}
