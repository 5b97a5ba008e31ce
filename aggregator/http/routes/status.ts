/** GET /v1/status: in one answer what a console or a script asks first. */
import Type from 'typebox';
import { Nullable, UtcMs } from '../schemas/words.ts';
import { answers, type Routes } from './route-options.ts';

const Status = Type.Object({
  version: Type.String(),
  nowMs: UtcMs,
  startedAtMs: UtcMs,
  epoch: Type.Number(),
  ready: Type.Boolean(),
  reason: Type.String({ description: 'Why it is not ready; when it is, what is amiss' }),
  killSwitch: Type.Boolean({ description: "The whole fleet's" }),
  seriesStore: Type.Object({
    kind: Type.String(),
    bytes: Nullable(Type.Number({ description: 'null: the store does not tell' })),
    problems: Type.Array(Type.String()),
  }),
});

export const statusRoutes: Routes = (app, service) => {
  app.get(
    '/v1/status',
    { schema: { summary: 'The aggregator at a glance', tags: ['operations'], response: answers(Status) } },
    async () => {
      const { kind, bytes, problems } = await service.series.status();
      return {
        version: service.version,
        nowMs: service.nowMs(),
        startedAtMs: service.startedAtMs,
        epoch: service.epoch,
        ...service.ready(),
        killSwitch: service.snapshot().killSwitch,
        seriesStore: { kind, bytes: Number.isFinite(bytes) ? bytes : null, problems: [...problems] },
      };
    },
  );
};
