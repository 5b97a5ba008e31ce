/**
 * `npm run soak -- spawn`: a group of real guests under a load that repeats. Once it has seen some seasons (`--learnt`), a second
 * guest must serve before each rise is there and be gone again in each calm (`--judged`), and in the end nothing may be left that no
 * group knows of. Output: seconds by which the second guest was ahead of each rise, seconds of shortage in the first season, when
 * nothing was foretold yet, and in those judged. Guests boot under emulation: it wants a machine with nothing else to do.
 */
import { type SpawnStage, spawnStage } from '../support/spawn-stage.ts';
import { eventually } from '../support/stack.ts';
import type { Soak, SoakAsked } from './soak.ts';

const STEP_MS = 2500;
const SEASON_MS = 100_000;
/** Of each season: busy from here to there. */
const BUSY_FROM_MS = 65_000;
const BUSY_TO_MS = 88_000;
const LOOK_MS = 1000;
const PACES = { stepMs: STEP_MS, seasonsMs: [SEASON_MS], bootDeadlineSeconds: 8 };
/** Cores, beside what idle guests take under emulation (a tenth each): one guest serves 0.6 of them. */
const [CALM, BUSY] = [0.1, 0.9];
/** About a second of work. */
const MEASURED_LOOPS = 20_000;
const POLICY = {
  // A few seasons are too few to know the 96th percentile of what comes at a time of them.
  ...{ mode: 'auto', min: 1, max: 2, target: { cpu: 0.6 }, shortfallBudget: 0.2, perHour: 1000 },
  ...{ idleFor: '4s', drain: '2s', grace: '10s', undo: '2s' },
};

interface Season {
  /** Before the rise, by how long a second guest served without a break. */
  aheadSeconds: number;
  /** The load was more than what served. */
  shortSeconds: number;
  /** Guests that served at once. */
  fewest: number;
  most: number;
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

async function watched(serving: () => number, startedMs: number, index: number): Promise<Season> {
  const season: Season = { aheadSeconds: 0, shortSeconds: 0, fewest: Number.POSITIVE_INFINITY, most: 0 };
  const fromMs = startedMs + index * SEASON_MS;
  for (; Date.now() < fromMs + SEASON_MS; await pause(LOOK_MS)) {
    const placeMs = Date.now() - fromMs;
    const now = serving();
    season.most = Math.max(season.most, now);
    if (placeMs < BUSY_FROM_MS) {
      season.aheadSeconds = now < 2 ? 0 : season.aheadSeconds + LOOK_MS / 1000;
      season.fewest = Math.min(season.fewest, now);
    } else if (placeMs < BUSY_TO_MS && now < 2) season.shortSeconds += LOOK_MS / 1000;
  }
  return season;
}

/** One guest serves, and how much work a core does is known. */
async function begun(stage: SpawnStage, tell: (progress: string) => void): Promise<void> {
  await eventually('the aggregator', () => stage.stack.get('/healthz'));
  await stage.ask('PUT', '/v1/groups/web/bounds', JSON.stringify({ min: 1, max: 1 }));
  await stage.template('web', true);
  await eventually('the first guest to serve', () => stage.balancer.serving > 0, 120_000);
  const [first] = (await stage.group('web')).members;
  const loops = await stage.balancer.measure(MEASURED_LOOPS, () => stage.cpuSeconds(first?.name ?? ''));
  tell(`a core does ${Math.round(loops)} loops of work in a second`);
  await stage.ask('DELETE', '/v1/groups/web/bounds');
}

export const spawn: Soak = {
  about: 'a group of real guests under a repeating load: a second one serves before each rise, and is gone after it (--learnt, --judged)',
  options: { learnt: '2', judged: '2' },
  async run({ numbers, tell }: SoakAsked) {
    let startedMs = Date.now();
    const load = (): number => {
      const placeMs = (Date.now() - startedMs) % SEASON_MS;
      return placeMs >= BUSY_FROM_MS && placeMs < BUSY_TO_MS ? BUSY : CALM;
    };
    const stage = await spawnStage({
      groups: [{ name: 'web', template: 'web', ...POLICY }],
      load,
      ...PACES,
    });
    const { balancer } = stage;
    try {
      await begun(stage, tell);
      startedMs = Date.now();
      const seasons: Season[] = [];
      for (let i = 0; i < numbers.learnt! + numbers.judged!; i++) {
        const season = await watched(() => balancer.serving, startedMs, i);
        seasons.push(season);
        tell(`season ${i + 1}: ${JSON.stringify(season)}`);
      }
      const judged = seasons.slice(numbers.learnt);
      const { members } = await stage.group('web');
      const known = members.length;
      const { domains, volumes, seeds } = stage.remains();
      const figures = {
        aheadSeconds: judged.map(({ aheadSeconds }) => aheadSeconds),
        shortSeconds: judged.reduce((sum, { shortSeconds }) => sum + shortSeconds, 0),
        shortSecondsUnlearnt: seasons[0]!.shortSeconds,
        guests: judged.map(({ fewest, most }) => [fewest, most]),
        leftOver: domains.length + volumes.length + seeds.length - 3 * known,
      };
      const held = judged.every(({ aheadSeconds, shortSeconds, fewest }) => aheadSeconds > 0 && shortSeconds === 0 && fewest === 1);
      if (held && figures.leftOver === 0) return figures;
      throw new Error(`${JSON.stringify(figures)}\n${stage.stack.log('aggregator').slice(-6000)}`);
    } finally {
      await stage.stop();
    }
  },
};
