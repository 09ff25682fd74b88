# One image, four commands: api, worker, migrate, and a bank to try payouts with.
FROM node:24-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json ./
COPY scripts ./scripts
# The image has its own Node and talks to servers of its own network: no bundled Node, PostgreSQL or Redis.
RUN npm ci --omit=optional --ignore-scripts --no-audit --no-fund
COPY tsconfig.json tsconfig.build.json ./
COPY apps ./apps
COPY libs ./libs
COPY db ./db
COPY bench ./bench
RUN npx tsc -p tsconfig.build.json && npm prune --omit=dev --omit=optional --ignore-scripts --no-audit --no-fund

FROM node:24-bookworm-slim
ENV NODE_ENV=production HOST=0.0.0.0
WORKDIR /app
COPY --from=build /app/package.json ./
COPY --from=build /app/node_modules ./node_modules
COPY --from=build /app/dist ./dist
# package.json's "#balances/lua/*.lua" and "#limits/lua/*.lua" point at the scripts where they were written.
COPY --from=build /app/libs/balances/src/lua ./libs/balances/src/lua
COPY --from=build /app/libs/limits/src/lua ./libs/limits/src/lua
# What the simulated bank keeps: a volume that is mounted there has its owner.
RUN install -d -o node /var/lib/counterfoil
USER node
EXPOSE 3000
CMD ["node", "--enable-source-maps", "dist/apps/api/src/main.js"]
