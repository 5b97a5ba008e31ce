/** The OpenAPI document without a running aggregator. Input: a version; output: the document that the routes make. */
import type { Access } from '../identity/access.ts';
import { createHttpApp } from './app.ts';
import type { OpenApiDocument } from './docs-page.ts';
import type { AggregatorService } from './service.ts';

export async function apiDocument(version: string): Promise<OpenApiDocument> {
  // Nothing is asked here: what routes look at while they are set up is all there needs to be.
  const service = { version } as AggregatorService;
  const access = { options: { tenantLabel: '' }, onEnd: () => undefined } as unknown as Access;
  const app = await createHttpApp(service, { access });
  try {
    return app.swagger() as unknown as OpenApiDocument;
  } finally {
    await app.close();
  }
}
