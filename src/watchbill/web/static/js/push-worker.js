// Shows pages that come by web push while no tab is open. It keeps nothing and fetches nothing.
self.addEventListener("push", (event) => {
  let page = { title: "Watchbill", body: "Something needs you." };
  try { page = { ...page, ...event.data.json() }; } catch { /* an empty push still rings */ }
  const actions = [];
  if (page.acknowledge) actions.push({ action: "acknowledge", title: page.label || "Acknowledge" });
  if (page.open) actions.push({ action: "open", title: "Open" });
  event.waitUntil(self.registration.showNotification(page.title, {
    body: page.body, tag: page.tag, renotify: Boolean(page.tag), requireInteraction: Boolean(page.urgent),
    data: { acknowledge: page.acknowledge, open: page.open }, actions,
  }));
});

self.addEventListener("notificationclick", (event) => {
  event.notification.close();
  const { acknowledge, open } = event.notification.data || {};
  const url = event.action === "open" ? open : acknowledge || open;
  if (url) event.waitUntil(self.clients.openWindow(url));
});
