// There and back with cpanel-lib, from npm: HOST PORT TOKEN SERVER MPM...
// GET /json-api/<function>, "WHM user:token"; lists as install-0, install-1.
const { createClient } = require("cpanel-lib");
const [host, port, token, server, ...mpms] = process.argv.slice(2);
const client = createClient({ host, port, secure: false, username: "root", accessKey: token });

const call = (name, values = {}) =>
  new Promise((resolve, reject) => {
    const query = { "api.version": 1, server, ...values };
    client.call(name, query, (error, answer) => {
      if (error) reject(error);
      else if (answer.metadata.result !== 1) reject(new Error(`${name}: ${answer.metadata.reason}`));
      else resolve(answer.data);
    });
  });

const numbered = (name, items) => Object.fromEntries(items.map((item, at) => [`${name}-${at}`, item]));

const change = async (mpm) => {
  const wanted = `ea-apache24-mod_mpm_${mpm}`;
  const moves = await call("package_manager_resolve_actions", { package: wanted });
  const lists = { ...numbered("install", moves.install), ...numbered("uninstall", moves.uninstall) };
  const { build } = await call("package_manager_submit_actions", lists);
  let [lines, offset, running] = [0, 0, 1];
  while (running) {
    const log = await call("package_manager_get_build_log", { build, offset });
    lines += log.content.length;
    [offset, running] = [log.offset, log.still_running];
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  const { active } = await call("package_manager_is_performing_actions", { build });
  const { packages } = await call("ea4_get_currently_installed_packages");
  const done = active === 0 && packages.includes(wanted);
  console.log(JSON.stringify({ client: "cpanel-lib", mpm, build, lines, done }));
};

(async () => {
  for (const mpm of mpms) await change(mpm);
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
