/**
 * Template file → Template. Input: YAML or JSON text; output: what is built, and what Headroom takes such a VM for, with defaults
 * filled in, and the file's canonical text. Throws TEMPLATE_INVALID naming line, column and field of each mistake.
 */
import { stringify } from 'yaml';
import type { VmBuild } from '../../../shared/vm-build.ts';
import { documentReader } from '../document/document-source.ts';
import { parseDuration } from '../plan/durations.ts';
import { objectionToProbe, type TemplateProbe, templateProbe } from './template-probe.ts';
import { TemplateDocument } from './template-schema.ts';

export interface Template extends TemplateProbe {
  name: string;
  /** All of a build but the VM's own name. */
  build: Omit<VmBuild, 'name'>;
  /** Longest wait from start to ready; a boot that takes longer has failed. */
  readyWithinMs: number;
  warmPool: number;
  /** Empty: none was given. */
  description: string;
  software: readonly string[];
  /** Equal templates have equal texts. */
  canonical: string;
}

/** Far beyond a boot that works, and short enough that a broken image is not waited for all night. */
const READY_WITHIN_MS = 600_000;
/** How policies and forecasts know what a VM was made from and what it does. */
const TEMPLATE_LABEL = 'template';
const CLASS_LABEL = 'class';
/** Whose value `app` has a VM's host wait for its application's own word. */
const READINESS_LABEL = 'readiness';
const SET_LABELS: Readonly<Record<string, string>> = {
  [TEMPLATE_LABEL]: "the template's name",
  [CLASS_LABEL]: "the template's class",
  [READINESS_LABEL]: 'ready.probe',
};

const read = documentReader({ schema: TemplateDocument, name: 'template', code: 'TEMPLATE_INVALID', firstLine: 'version: 1' });

export function parseTemplateFile(source: string): Template {
  const { document, mistakeAt } = read(source);
  for (const [label, from] of Object.entries(SET_LABELS)) {
    if (document.labels?.[label] !== undefined) throw mistakeAt(['labels', label], `the label "${label}" is set from ${from}`);
  }
  if (document.ready?.within !== undefined && parseDuration(document.ready.within) === 0) {
    throw mistakeAt(['ready', 'within'], 'no VM is ready at once; name a duration such as 5m');
  }
  const probe = templateProbe(document.ready?.probe ?? 'guest-agent');
  const build = buildOf(document);
  const objection = objectionToProbe(probe, build.networks);
  if (objection !== null) throw mistakeAt(['ready', 'probe'], objection);
  return {
    name: document.name,
    build,
    ...probe,
    readyWithinMs: document.ready?.within === undefined ? READY_WITHIN_MS : parseDuration(document.ready.within),
    warmPool: document.warmPool ?? 0,
    description: document.description ?? '',
    software: document.software ?? [],
    canonical: stringify(document, { sortMapEntries: true, lineWidth: 0 }),
  };
}

function buildOf(document: TemplateDocument): Template['build'] {
  const { image, boot, seed, networks = [], labels = {} } = document;
  return {
    domainType: document.domainType ?? 'auto',
    vcpus: document.vcpus,
    memoryMiB: document.memoryMiB,
    disk: {
      pool: image.pool,
      image: image.volume,
      format: image.format ?? 'qcow2',
      sha256: image.sha256 ?? null,
      sizeMiB: document.diskMiB ?? null,
    },
    boot: boot ?? null,
    seed: seedOf(seed),
    networks: networks.map(networkOf),
    labels: {
      ...labels,
      [TEMPLATE_LABEL]: document.name,
      ...(document.class === undefined ? {} : { [CLASS_LABEL]: document.class }),
      ...(document.ready?.probe === 'application' ? { [READINESS_LABEL]: 'app' } : {}),
    },
  };
}

function seedOf(seed: TemplateDocument['seed']): VmBuild['seed'] {
  if (seed === undefined) return null;
  if ('ignition' in seed) return { kind: 'ignition', config: seed.ignition };
  const { userData, networkConfig } = seed.cloudInit;
  return { kind: 'cloud-init', userData, networkConfig: networkConfig ?? null };
}

function networkOf(network: NonNullable<TemplateDocument['networks']>[number]): VmBuild['networks'][number] {
  if ('network' in network) return { kind: 'network', source: network.network };
  if ('bridge' in network) return { kind: 'bridge', source: network.bridge };
  return { kind: 'user', source: null };
}
