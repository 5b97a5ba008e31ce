/**
 * A byte budget for our database in an InfluxDB of version 1, which has none of its own. Input: the connection, the budget;
 * output: the oldest shards dropped until it is kept, and what was given up in words. Raw rows go first, then five-minute
 * statistics, then hourly ones, as in the embedded store; the newest shard of each stays.
 */
import type { Resolution } from '../series-store.ts';
import { type InfluxConnection, POLICIES } from './influx-connection.ts';

interface Shard {
  id: number;
  resolution: Resolution;
  startMs: number;
  endMs: number;
  bytes: number;
}

const GIVEN_UP_FIRST: readonly Resolution[] = ['raw', '5m', '1h'];

/** Rejects as the connection's queries do. */
export async function keepInfluxBudget(connection: InfluxConnection, bytesMax: number): Promise<string[]> {
  const shards = await shardsOf(connection);
  let bytes = shards.reduce((sum, shard) => sum + shard.bytes, 0);
  const told: string[] = [];
  for (const resolution of GIVEN_UP_FIRST) {
    const oldestFirst = shards.filter((shard) => shard.resolution === resolution).sort((a, b) => a.startMs - b.startMs);
    const dropped: Shard[] = [];
    for (const shard of oldestFirst.slice(0, -1)) {
      if (bytes <= bytesMax) break;
      await connection.query([`DROP SHARD ${shard.id}`]);
      bytes -= shard.bytes;
      dropped.push(shard);
    }
    const last = dropped.at(-1);
    if (last === undefined) continue;
    const what = resolution === 'raw' ? 'rows' : `statistics of ${resolution}`;
    told.push(`${what} before ${new Date(last.endMs).toISOString()} were given up: seriesBytesMax is ${bytesMax}`);
  }
  return told;
}

/** Of our database and retention policies. Sizes that are not told count nothing. */
export async function shardsOf(connection: InfluxConnection): Promise<Shard[]> {
  const [shards, statistics] = await connection.query(['SHOW SHARDS', `SHOW STATS FOR 'shard'`]);
  const bytes = new Map(
    statistics!.series.map(({ tags, columns, values }) => [Number(tags.id), Number(values[0]?.[columns.indexOf('diskBytes')] ?? 0)]),
  );
  const own = shards!.series.find(({ name }) => name === connection.database);
  const at = (name: string): number => own?.columns.indexOf(name) ?? -1;
  return (own?.values ?? []).flatMap((row) => {
    const resolution = GIVEN_UP_FIRST.find((each) => POLICIES[each] === row[at('retention_policy')]);
    if (resolution === undefined) return [];
    const id = Number(row[at('id')]);
    const [startMs, endMs] = [Date.parse(String(row[at('start_time')])), Date.parse(String(row[at('end_time')]))];
    return [{ id, resolution, startMs, endMs, bytes: bytes.get(id) ?? 0 }];
  });
}
