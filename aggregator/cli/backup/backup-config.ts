/** Which aggregator a backup is of: by its configuration, or its data directory alone. Throws USAGE, NOT_FOUND, CONFIG_INVALID. */
import type { HeadroomError } from '../../../shared/errors.ts';
import { type AggregatorConfig, parseFlags, resolveConfig } from '../../config.ts';
import type { CliIo } from '../command.ts';

export async function backupConfig(
  io: Pick<CliIo, 'read'>,
  { config: file, dataDir }: { config: string | undefined; dataDir: string | undefined },
  usage: (what: string) => HeadroomError,
): Promise<AggregatorConfig> {
  if (file === undefined && dataDir === undefined) throw usage("--config FILE (the aggregator's) or --data-dir DIR is missing");
  const source = file === undefined ? null : await io.read(file);
  return resolveConfig(source, { ...parseFlags([]), dataDir: dataDir ?? null });
}
