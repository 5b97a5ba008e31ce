/** What the API reads and steers of templates and groups: implemented by the aggregator. Plain data in the API's own words. */
import type { HostId } from '../../shared/ids.ts';
import type { BootStatistics } from '../core/spawn/boot-times.ts';
import type { ReadyProbe } from '../core/spawn/template-schema.ts';

export interface TemplateVersionView {
  name: string;
  version: number;
  atMs: number;
  by: string;
  /** SHA-256 of the canonical text, as the hash-chained entry has it. */
  digest: string;
}

export interface TemplateView extends TemplateVersionView {
  description: string;
  software: readonly string[];
  image: string;
  pool: string;
  vcpus: number;
  memoryMiB: number;
  probe: ReadyProbe;
  readyWithinMs: number;
  warmPool: number;
  /** How long VMs of it took to be ready, per host. */
  boots: BootStatistics[];
}

export interface TemplateApplied {
  name: string;
  /** In force now. */
  version: number;
  changed: boolean;
}

export interface TemplateChecked {
  host: HostId;
  ok: boolean;
  /** What the host lacks, or why it could not be asked. */
  reason: string;
}

export interface SpawnService {
  templates(): TemplateView[];
  /** Null: there is no such template, or version of it. */
  template(name: string, version: number | null): Promise<(TemplateVersionView & { source: string }) | null>;
  /** Newest first. */
  templateVersions(name: string): Promise<TemplateVersionView[]>;
  /** Throws TEMPLATE_INVALID naming line and field, VERSION_CHANGED. */
  applyTemplate(name: string, source: string, by: string, options: { dryRun: boolean; ifVersion: number | null }): Promise<TemplateApplied>;
  /** Asks hosts whether they could make a VM of it; nothing is made. `host` null = every host that makes VMs. Throws NOT_FOUND. */
  checkTemplate(name: string, host: HostId | null): Promise<TemplateChecked[]>;
}
