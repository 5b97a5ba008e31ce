/**
 * The policy file: read, changed, checked while it is typed, tried out (what would change and the next plan under it), taken into
 * force, and every version there was. Input: a text; output: mistakes with their place, differences, a new version.
 */
import type { Answer, ItemOf } from '../client/words.ts';
import { answer, client, Refused, serverNowMs } from './api.ts';
import { Asked } from './asked.ts';
import { el, setChildren, setText } from './dom.ts';
import { clock, plural } from './format.ts';
import { emptyLine, newest, type Page, unreadable } from './page.ts';
import { table } from './table.ts';

type Applied = Answer<'/v1/policies', 'put'>;

/** After the last key, before it is checked. */
const TYPING_MS = 700;
const LINES_MAX = 20;

class Editor {
  readonly element: HTMLElement;
  readonly #text = el('textarea', {
    id: 'policy',
    rows: 18,
    spellcheck: 'false',
    autocapitalize: 'off',
    wrap: 'off',
    'aria-describedby': 'policy-state',
  });
  readonly #state = el('p', { id: 'policy-state', role: 'status' });
  readonly #mistakes = el('ul', { class: 'mistakes' });
  readonly #changes = el('ul', { class: 'steps' });
  readonly #apply = el('button', { type: 'button', class: 'primary', disabled: true }, 'Take into force');
  readonly #discard = el('button', { type: 'button', disabled: true }, 'Discard changes');
  readonly #applied: () => void;
  #inForce: { version: number; source: string } | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #tried = 0;

  constructor(applied: () => void) {
    this.#applied = applied;
    this.#text.addEventListener('input', () => this.#typed());
    this.#apply.addEventListener('click', () => void this.#send(false));
    this.#discard.addEventListener('click', () => {
      this.#text.value = this.#inForce?.source ?? '';
      this.#typed();
    });
    const buttons = el('div', { class: 'buttons' }, this.#apply, this.#discard);
    this.element = el(
      'div',
      {},
      el('label', { for: 'policy' }, 'Policy file (YAML)'),
      this.#text,
      this.#state,
      this.#mistakes,
      this.#changes,
      buttons,
    );
  }

  /** What is in force; a text that is being changed is left alone. */
  show(policies: { version: number; source: string }): void {
    const changed = this.#inForce !== null && this.#text.value !== this.#inForce.source;
    const newer = this.#inForce?.version !== policies.version;
    if (changed && newer) setText(this.#state, `Meanwhile version ${policies.version} took force: discard your changes to see it.`);
    if (changed) return;
    this.#inForce = policies;
    if (!newer) return;
    this.#text.value = policies.source;
    setText(
      this.#state,
      policies.source === ''
        ? 'No policy file is in force: everything is only observed. Write one here.'
        : `Version ${policies.version} is in force.`,
    );
  }

  #typed(): void {
    clearTimeout(this.#timer);
    const changed = this.#text.value !== this.#inForce?.source;
    this.#apply.disabled = true;
    this.#discard.disabled = !changed;
    setChildren(this.#mistakes, []);
    setChildren(this.#changes, []);
    setText(this.#state, changed ? 'Checking…' : `Version ${this.#inForce?.version ?? 0} is in force.`);
    if (changed) this.#timer = setTimeout(() => void this.#send(true), TYPING_MS);
  }

  async #send(dryRun: boolean): Promise<void> {
    const source = this.#text.value;
    const asked = ++this.#tried;
    const version = this.#inForce?.version ?? 0;
    try {
      const done = await answer(
        client.PUT('/v1/policies', {
          params: { query: { dryRun }, header: { 'if-match': `"${version}"` } },
          body: source,
          bodySerializer: (text: string) => text,
          headers: { 'content-type': 'application/yaml' },
        }),
      );
      if (asked !== this.#tried) return;
      if (dryRun) this.#tells(done);
      else {
        this.#inForce = { version: done.version, source };
        this.#apply.disabled = this.#discard.disabled = true;
        setChildren(this.#changes, []);
        setText(this.#state, `Version ${done.version} is in force.`);
        this.#applied();
      }
    } catch (error) {
      if (asked === this.#tried) this.#refused(error);
    }
  }

  #tells({ changes, nextPlan }: Applied): void {
    this.#apply.disabled = false;
    const steps =
      nextPlan === null || nextPlan.stepsAll === 0
        ? 'the next plan would change nothing'
        : `the next plan would make ${plural(nextPlan.stepsAll, 'change')}`;
    const nothing = changes.length === 0 ? 'It changes nothing for any guest' : `It changes ${plural(changes.length, 'thing')}`;
    setText(this.#state, `No mistakes. ${nothing}; ${steps}.`);
    const lines = [...changes, ...(nextPlan?.steps ?? []).map(({ vmName, reason }) => `next plan, ${vmName}: ${reason}`)];
    const shown = lines.slice(0, LINES_MAX).map((text) => el('li', {}, text));
    if (lines.length > LINES_MAX) shown.push(el('li', {}, `and ${lines.length - LINES_MAX} more`));
    setChildren(this.#changes, shown);
  }

  #refused(error: unknown): void {
    this.#apply.disabled = true;
    const { mistakes = [] } = error instanceof Refused ? error.problem : {};
    setText(
      this.#state,
      mistakes.length === 0
        ? error instanceof Error
          ? error.message
          : String(error)
        : `${plural(mistakes.length, 'mistake')}: nothing would be changed.`,
    );
    setChildren(
      this.#mistakes,
      mistakes.map(({ line, column, field, detail }) => {
        const place = el('button', { type: 'button', class: 'place' }, `line ${line}, column ${column}`);
        place.addEventListener('click', () => this.#goTo(line, column));
        return el('li', {}, place, ` ${field === null ? '' : `${field}: `}${detail}`);
      }),
    );
  }

  #goTo(line: number, column: number): void {
    const before = this.#text.value.split('\n').slice(0, line - 1);
    const at = before.reduce((sum, text) => sum + text.length + 1, 0) + column - 1;
    this.#text.focus();
    this.#text.setSelectionRange(at, at);
  }
}

export function policyPage(): Page {
  const problem = emptyLine();
  const versions = table('Versions of the policy', ['Version', 'Since', 'By', 'Digest']);
  const noVersion = emptyLine();
  const read = new Asked({
    ask: () => answer(client.GET('/v1/policies')),
    show(policies) {
      problem.say(null);
      editor.show(policies);
    },
    failed: (reason) => (reason === null ? undefined : problem.say(unreadable(reason))),
  });
  const history = new Asked({
    ask: async () => (await answer(client.GET('/v1/policies/versions', { params: { query: { limit: 50 } } }))).items,
    show(items: ItemOf<'/v1/policies/versions'>[]) {
      versions.show(
        items.map(({ version, atMs, by, digest }) => [
          String(version),
          clock(atMs, serverNowMs()),
          by,
          el('code', { title: digest }, digest.slice(0, 12)),
        ]),
      );
      noVersion.say(
        items.length > 0
          ? null
          : 'No policy was ever in force: everything is only observed. The first one you take into force appears here.',
      );
    },
    failed: (reason) => (reason === null ? undefined : noVersion.say(unreadable(reason))),
  });
  const editor = new Editor(() => void history.now());
  return {
    element: el(
      'div',
      { class: 'stack' },
      el('h1', {}, 'Policies'),
      el('section', { class: 'panel editor' }, el('h2', {}, 'In force'), problem.element, editor.element),
      el('section', { class: 'panel' }, el('h2', {}, 'Versions'), noVersion.element, versions.element),
    ),
    update(state) {
      read.update(newest(state));
      history.update(newest(state));
    },
    remove() {},
  };
}
