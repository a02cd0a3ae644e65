using System.Diagnostics;
using System.Text.Json.Nodes;
using Forengate.Lab.Machine;

namespace Forengate.Engine.Tests.Formats;

/// <summary>Has a QEMU of its own (never one under libvirt, whose sandbox kills it for this) write its migration stream to a file.</summary>
internal static class Migration
{
    public static void ToFile(QmpClient monitor, string path)
    {
        monitor.Execute("migrate-set-parameters", new JsonObject { ["max-bandwidth"] = 10L << 30 });
        monitor.Execute("migrate", new JsonObject { ["uri"] = $"exec:cat > '{path}'" });
        for (var waited = Stopwatch.StartNew(); waited.Elapsed < TimeSpan.FromMinutes(2); Thread.Sleep(50))
        {
            switch (monitor.Execute("query-migrate").GetProperty("status").GetString())
            {
                case "completed":
                    return;
                case "failed" or "cancelled":
                    throw new InvalidOperationException("the migration failed");
            }
        }
        throw new TimeoutException("the migration did not end");
    }
}
