/**
 * The library of templates: every version of each with its text, in the ledger's store beside the policies, proved by its chain.
 * Input: texts from API or CLI; output: templates as groups use them. A version never changes: a VM goes on being what it was
 * made from. A text that is not understood changes nothing.
 */
import { createHash } from 'node:crypto';
import { HeadroomError } from '../../shared/errors.ts';
import { parseTemplateFile, type Template } from '../core/spawn/template-file.ts';
import type { TemplateApplied, TemplateVersionView } from '../http/spawn-service.ts';
import type { LedgerStore } from '../store/ledger-store.ts';

interface Kept extends TemplateVersionView {
  source: string;
}

export interface KnownTemplate extends Template {
  version: number;
  /** `name@version`. */
  id: string;
}

/** Of `name@version`. */
export const templateName = (id: string): string => id.slice(0, id.lastIndexOf('@'));

const CURRENT = 'template-current/';
const currentBlob = (name: string): string => `${CURRENT}${name}`;
const versionBlob = (name: string, version: number): string => `template-version/${name}/${version}`;
const bytesOf = (kept: Kept): Uint8Array => new TextEncoder().encode(JSON.stringify(kept));
const keptIn = (bytes: Uint8Array): Kept => JSON.parse(new TextDecoder().decode(bytes)) as Kept;
const digestOf = (text: string): string => createHash('sha256').update(text).digest('hex');
/** More kinds of VM than anybody keeps apart. */
const TEMPLATES_MAX = 1000;

export class TemplateKeeper {
  readonly #ledger: LedgerStore;
  readonly #current = new Map<string, Kept>();
  /** By `name@version`: those in use. */
  readonly #parsed = new Map<string, KnownTemplate>();
  /** Taken one at a time: two writers must not both become version N. */
  #taking: Promise<unknown> = Promise.resolve();

  constructor(ledger: LedgerStore) {
    this.#ledger = ledger;
  }

  async load(): Promise<void> {
    for (const name of await this.#ledger.blobNames(CURRENT)) {
      const bytes = await this.#ledger.getBlob(name);
      if (bytes !== null) this.#keep(keptIn(bytes));
    }
  }

  list(): { kept: TemplateVersionView; template: KnownTemplate }[] {
    return [...this.#current.values()].flatMap(({ source: _source, ...kept }) => {
      const template = this.current(kept.name);
      return template === null ? [] : [{ kept, template }];
    });
  }

  /** The version new VMs are made from; null: there is no such template. */
  current(name: string): KnownTemplate | null {
    const kept = this.#current.get(name);
    return kept === undefined ? null : this.#parse(kept);
  }

  /** By `name@version`. Null: the ledger does not have it. */
  async byId(id: string): Promise<KnownTemplate | null> {
    const known = this.#parsed.get(id);
    if (known !== undefined) return known;
    const [, name = '', version = ''] = /^(.+)@(\d+)$/.exec(id) ?? [];
    const kept = await this.version(name, Number(version));
    return kept === null ? null : this.#parse(kept);
  }

  /** `version` null = the current one. Throws LEDGER_BROKEN when the kept text is not the one that was taken. */
  async version(name: string, version: number | null): Promise<Kept | null> {
    const current = this.#current.get(name);
    if (current === undefined) return null;
    if (version === null || version === current.version) return current;
    const bytes = await this.#ledger.getBlob(versionBlob(name, version));
    if (bytes === null) return null;
    const kept = keptIn(bytes);
    if (digestOf(parseTemplateFile(kept.source).canonical) !== kept.digest) {
      throw new HeadroomError('LEDGER_BROKEN', `the kept text of template ${name}@${version} is not the one that was taken`);
    }
    return kept;
  }

  /** Newest first. */
  async versions(name: string): Promise<TemplateVersionView[]> {
    const newest = this.#current.get(name)?.version ?? 0;
    const found: TemplateVersionView[] = [];
    for (let version = newest; version > 0; version--) {
      const kept = await this.version(name, version);
      if (kept === null) continue;
      const { source: _source, ...view } = kept;
      found.push(view);
    }
    return found;
  }

  /** Throws TEMPLATE_INVALID naming line and field, VERSION_CHANGED where another version is current than the one looked at. */
  apply(
    name: string,
    source: string,
    { by, ifVersion, dryRun, nowMs }: { by: string; ifVersion: number | null; dryRun: boolean; nowMs: number },
  ): Promise<TemplateApplied> {
    const next = this.#taking.then(async (): Promise<TemplateApplied> => {
      const template = parseTemplateFile(source);
      if (template.name !== name) {
        throw new HeadroomError('USAGE', `the text is of template "${template.name}", and was sent to "${name}": send it to its own name`);
      }
      const current = this.#current.get(name);
      const version = current?.version ?? 0;
      if (ifVersion !== null && ifVersion !== version) {
        throw new HeadroomError('VERSION_CHANGED', `version ${version} of template ${name} is current, not ${ifVersion}; read it again`);
      }
      const digest = digestOf(template.canonical);
      if (digest === current?.digest) return { name, version, changed: false };
      if (dryRun) return { name, version, changed: true };
      if (current === undefined && this.#current.size >= TEMPLATES_MAX) {
        throw new HeadroomError('CONFLICT', `there are ${TEMPLATES_MAX} templates already`);
      }
      await this.#take({ name, version: version + 1, atMs: nowMs, by, digest, source });
      return { name, version: version + 1, changed: true };
    });
    this.#taking = next.catch(() => undefined);
    return next;
  }

  async #take(kept: Kept): Promise<void> {
    const { name, version, by, digest, atMs } = kept;
    await this.#ledger.putBlob(versionBlob(name, version), bytesOf(kept));
    await this.#ledger.putBlob(currentBlob(name), bytesOf(kept));
    await this.#ledger.append(atMs, { kind: 'template', name, version, by, digest });
    this.#keep(kept);
  }

  #keep(kept: Kept): void {
    this.#current.set(kept.name, kept);
  }

  #parse(kept: Kept): KnownTemplate {
    const id = `${kept.name}@${kept.version}`;
    const known = this.#parsed.get(id) ?? { ...parseTemplateFile(kept.source), version: kept.version, id };
    this.#parsed.set(id, known);
    return known;
  }
}
