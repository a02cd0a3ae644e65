using System.Globalization;

namespace Forengate.Guests.Tests;

/// <summary>A control group for memory, of either version. Whatever is in it must have ended before it does.</summary>
internal sealed class TestControlGroup : IDisposable
{
    private readonly string _folder;
    private readonly bool _second;

    private TestControlGroup(string folder, bool second) => (_folder, _second) = (folder, second);

    /// <summary>Runs a program in it.</summary>
    public string[] Wrapper => ["/bin/sh", "-c", $"echo $$ > {_folder}/cgroup.procs && exec \"$@\"", "sh"];

    /// <summary>Skips the test where there can be none.</summary>
    public static TestControlGroup Require()
    {
        if (!Environment.IsPrivilegedProcess)
            Assert.Skip("only root can make control groups");
        foreach (var (root, second) in new[] { ("/sys/fs/cgroup/memory", false), ("/sys/fs/cgroup", true) })
        {
            if (!File.Exists(Path.Combine(root, "cgroup.procs")))
                continue;
            var folder = Path.Combine(root, "forengate-" + Path.GetRandomFileName());
            try
            {
                Directory.CreateDirectory(folder);
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                continue;
            }
            if (File.Exists(Path.Combine(folder, second ? "memory.max" : "memory.limit_in_bytes")))
                return new TestControlGroup(folder, second);
            Directory.Delete(folder);
        }
        Assert.Skip("there are no control groups for memory here");
        throw new InvalidOperationException();
    }

    /// <summary>Lets it have less and less memory, until it is little enough; the kernel swaps the rest out.</summary>
    public void Squeeze(Func<bool> isEnough)
    {
        const ulong Step = 4 << 20;
        var limit = ulong.Parse(File.ReadAllText(Path.Combine(_folder, _second ? "memory.current" : "memory.usage_in_bytes")), CultureInfo.InvariantCulture);
        TestQemu.WaitFor(
            () =>
            {
                try
                {
                    limit = Math.Max(Step, limit - Step);
                    File.WriteAllText(Path.Combine(_folder, _second ? "memory.max" : "memory.limit_in_bytes"), limit.ToString(CultureInfo.InvariantCulture));
                }
                catch (IOException)
                {
                    // Busy: what it has is not yet out.
                    limit += Step;
                }
                return isEnough();
            },
            "the kernel to squeeze a control group");
    }

    /// <summary>Lets it have what it wants.</summary>
    public void Release() => File.WriteAllText(Path.Combine(_folder, _second ? "memory.max" : "memory.limit_in_bytes"), _second ? "max" : "-1");

    public void Dispose() => TestQemu.WaitFor(
        () =>
        {
            try
            {
                Directory.Delete(_folder);
                return true;
            }
            catch (IOException)
            {
                return false;
            }
        },
        "a control group to be empty");
}
