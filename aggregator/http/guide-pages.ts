/**
 * The guide as pages: Markdown in, HTML out, once at start. The pages, their order and their names are what the guide's index links
 * to. Nothing is fetched, no scripts; HTML within the Markdown is shown as text. Input: a directory; output: URL path → page.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Marked, type Tokens } from 'marked';
import { HeadroomError } from '../../shared/errors.ts';

const HERE = dirname(fileURLToPath(import.meta.url));
/** In the repository, and beside the packaged program. */
const PLACES = ['../../docs/guide', '../guide'].map((place) => join(HERE, place));
const BASE = '/docs/guide';
const INDEX = 'index.md';

const escaped = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');

/** As code hosts name headings, so that links work there and here. */
function anchorOf(text: string): string {
  return text
    .toLowerCase()
    .replace(/[^\p{L}\p{N} _-]/gu, '')
    .trim()
    .replaceAll(' ', '-');
}

/** `policy.md#modes` → `/docs/guide/policy#modes`; what is no page of the guide stays text. */
function addressOf(href: string, pages: ReadonlySet<string>): string | null {
  if (href.startsWith('#') || href.startsWith('/')) return href;
  const [, file = '', anchor = ''] = /^([\w.-]+)(#.*)?$/.exec(href) ?? [];
  if (file === INDEX) return `${BASE}${anchor}`;
  return pages.has(file) ? `${BASE}/${file.replace(/\.md$/, '')}${anchor}` : null;
}

function markdown(pages: ReadonlySet<string>): Marked {
  const marked = new Marked();
  marked.use({
    renderer: {
      heading({ tokens, depth, text }: Tokens.Heading) {
        return `<h${depth} id="${escaped(anchorOf(text))}">${this.parser.parseInline(tokens)}</h${depth}>\n`;
      },
      link({ href, tokens }: Tokens.Link) {
        const words = this.parser.parseInline(tokens);
        const outside = /^https?:\/\//.test(href);
        const address = outside ? href : addressOf(href, pages);
        return address === null ? words : `<a href="${escaped(address)}"${outside ? ' rel="noreferrer"' : ''}>${words}</a>`;
      },
      table(token: Tokens.Table) {
        const row = (cells: readonly Tokens.TableCell[], tag: 'th' | 'td'): string =>
          `<tr>${cells.map((cell) => `<${tag}${tag === 'th' ? ' scope="col"' : ''}>${this.parser.parseInline(cell.tokens)}</${tag}>`).join('')}</tr>`;
        const body = token.rows.map((cells) => row(cells, 'td')).join('');
        const caption = escaped(token.header.map(({ text }) => text).join(', '));
        return `<div class="scroll" tabindex="0" role="region" aria-label="Table: ${caption}"><table><thead>${row(token.header, 'th')}</thead><tbody>${body}</tbody></table></div>`;
      },
      code({ text }: Tokens.Code) {
        return `<pre tabindex="0"><code>${escaped(text)}</code></pre>`;
      },
      html({ text }: Tokens.HTML | Tokens.Tag) {
        return escaped(text);
      },
      image: ({ text }: Tokens.Image) => escaped(text),
    },
  });
  return marked;
}

interface Linked {
  file: string;
  title: string;
}

function linkedFrom(index: string): Linked[] {
  return [...index.matchAll(/\[([^\]]+)\]\(([\w-]+\.md)\)/g)].map(([, title = '', file = '']) => ({ title, file }));
}

function page(title: string, nav: string, body: string): string {
  return `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark"><title>${escaped(title)} – Headroom</title><link rel="icon" href="/console/mark.svg" type="image/svg+xml"><link rel="stylesheet" href="/console/docs.css"></head><body class="guide"><nav aria-label="Guide"><p><a href="/">Console</a> <a href="/docs">API</a></p><ul>${nav}</ul></nav><main>${body}</main></body></html>`;
}

/** Throws ENVIRONMENT when there is no guide, or its index names a page that is not there. */
export function guidePages(directory = PLACES.find((place) => existsSync(join(place, INDEX)))): ReadonlyMap<string, string> {
  if (directory === undefined)
    throw new HeadroomError('ENVIRONMENT', `no guide was found in ${PLACES.join(' or ')}; the package is not whole`);
  const files = readdirSync(directory).filter((name) => name.endsWith('.md'));
  const index = readFileSync(join(directory, INDEX), 'utf8');
  const linked = linkedFrom(index);
  const unlinked = files.filter((file) => file !== INDEX && !linked.some((each) => each.file === file));
  const missing = linked.filter(({ file }) => !files.includes(file)).map(({ file }) => file);
  if (unlinked.length + missing.length > 0)
    throw new HeadroomError(
      'ENVIRONMENT',
      `the guide's index lacks ${unlinked.join(', ') || 'no page'}, and names ${missing.join(', ') || 'none'} that is not there`,
    );
  const marked = markdown(new Set(files));
  const all: Linked[] = [{ file: INDEX, title: 'Guide' }, ...linked];
  const made = new Map<string, string>();
  for (const { file, title } of all) {
    const nav = all.map((each) => {
      const current = each.file === file ? ' aria-current="page"' : '';
      return `<li><a href="${addressOf(each.file, new Set(files))}"${current}>${escaped(each.title)}</a></li>`;
    });
    const path = file === INDEX ? BASE : `${BASE}/${file.replace(/\.md$/, '')}`;
    made.set(path, page(title, nav.join(''), marked.parse(readFileSync(join(directory, file), 'utf8'), { async: false })));
  }
  return made;
}
