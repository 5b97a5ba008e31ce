/** A readable page of the API, made from its own OpenAPI document. No scripts, nothing fetched. Document in, HTML out. */

interface Operation {
  summary?: string;
  tags?: string[];
  parameters?: { name: string; in: string; required?: boolean; description?: string; schema?: { type?: string; enum?: unknown[] } }[];
  requestBody?: { content?: Record<string, unknown> };
}

export interface OpenApiDocument {
  info: { title: string; version: string; description?: string };
  paths?: Record<string, Record<string, Operation>>;
}

const escaped = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');

function operationHtml(path: string, method: string, operation: Operation): string {
  const parameters = (operation.parameters ?? []).map(({ name, in: place, required, description, schema }) => {
    const type = schema?.enum ? schema.enum.map(String).join(' | ') : (schema?.type ?? '');
    return `<tr><td><code>${escaped(name)}</code></td><td>${escaped(place)}</td><td>${escaped(type)}</td><td>${required ? 'yes' : 'no'}</td><td>${escaped(description ?? '')}</td></tr>`;
  });
  const table =
    parameters.length > 0
      ? `<table><thead><tr><th scope="col">parameter</th><th scope="col">in</th><th scope="col">type</th><th scope="col">needed</th><th scope="col">what</th></tr></thead><tbody>${parameters.join('')}</tbody></table>`
      : '';
  const body = operation.requestBody ? `<p>Body: ${escaped(Object.keys(operation.requestBody.content ?? {}).join(', '))}</p>` : '';
  return `<section tabindex="0" aria-label="${escaped(method.toUpperCase())} ${escaped(path)}"><h3><span class="method">${escaped(method.toUpperCase())}</span> <code>${escaped(path)}</code></h3><p>${escaped(operation.summary ?? '')}</p>${body}${table}</section>`;
}

export function docsPage(document: OpenApiDocument): string {
  const groups = new Map<string, string[]>();
  for (const [path, methods] of Object.entries(document.paths ?? {})) {
    for (const [method, operation] of Object.entries(methods)) {
      const tag = operation.tags?.[0] ?? 'other';
      groups.set(tag, [...(groups.get(tag) ?? []), operationHtml(path, method, operation)]);
    }
  }
  const sections = [...groups].map(([tag, operations]) => `<h2>${escaped(tag)}</h2>${operations.join('')}`).join('');
  return `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>${escaped(document.info.title)} API</title><link rel="icon" href="/console/mark.svg" type="image/svg+xml"><link rel="stylesheet" href="/console/docs.css"></head><body><main><h1>${escaped(document.info.title)} API ${escaped(document.info.version)}</h1><p>${escaped(document.info.description ?? '')} The document itself: <a href="/openapi.json">/openapi.json</a>. <a href="/docs/guide">Guide</a> · <a href="/">Console</a></p>${sections}</main></body></html>`;
}
