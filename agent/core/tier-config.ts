/**
 * `tiers` of a host's configuration: where snapshots' packs go, fastest first, and how much each place may take. Pure. Input: texts such as
 * `/mnt/nvme/headroom=200GiB` and `ram=512MiB`; output: places. Throws CONFIG_INVALID saying what is wrong and what is allowed.
 */
import { HeadroomError } from '../../shared/errors.ts';

export interface TierAsked {
  dir: string;
  capacityBytes: number;
}

export interface TiersAsked {
  /** Of records in memory; 0 = none are kept. */
  ramBytes: number;
  /** Fastest first. */
  dirs: readonly TierAsked[];
}

const UNITS: Readonly<Record<string, number>> = { MiB: 2 ** 20, GiB: 2 ** 30, TiB: 2 ** 40 };
const TIER = /^(ram|\/[^=]*)=(\d+(?:\.\d+)?)(MiB|GiB|TiB)$/;
/** Two packs with what guards them: a place that takes less would take nothing. */
const DIR_BYTES_MIN = 80 * 2 ** 20;
const WANTED = 'expected DIR=SIZE or ram=SIZE, such as /mnt/nvme/headroom=200GiB, with MiB, GiB or TiB';

export function parseTiers(texts: readonly string[]): TiersAsked {
  const dirs: TierAsked[] = [];
  let ramBytes = 0;
  for (const text of texts) {
    const [, place = '', size, unit = ''] = TIER.exec(text) ?? [];
    if (size === undefined) throw invalid(`"${text}": ${WANTED}`);
    const capacityBytes = Math.floor(Number(size) * UNITS[unit]!);
    if (place === 'ram') {
      if (ramBytes > 0 || dirs.length > 0) throw invalid(`"${text}": there is one RAM cache, and it is named first`);
      ramBytes = capacityBytes;
      continue;
    }
    const dir = place.replace(/\/+$/, '') || '/';
    if (capacityBytes < DIR_BYTES_MIN) throw invalid(`"${text}": a directory takes 80MiB or more, or it takes nothing`);
    const other = dirs.find((known) => within(dir, known.dir) || within(known.dir, dir));
    if (other !== undefined) throw invalid(`"${text}" lies in the same place as ${other.dir}: each tier needs a directory of its own`);
    dirs.push({ dir, capacityBytes });
  }
  if (texts.length > 0 && dirs.length === 0) throw invalid(`no directory is named beside the RAM cache; ${WANTED}`);
  return { ramBytes, dirs };
}

const within = (path: string, folder: string): boolean => path === folder || path.startsWith(folder === '/' ? '/' : `${folder}/`);
const invalid = (what: string): HeadroomError => new HeadroomError('CONFIG_INVALID', `tiers: ${what}`);
