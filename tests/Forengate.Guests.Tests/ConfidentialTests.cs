using System.Text.Json;

namespace Forengate.Guests.Tests;

/// <summary>Encrypted guests can't be run here: a monitor that answers as QEMU's does (docs/system/confidential-guest-support) stands in.</summary>
public sealed class ConfidentialTests
{
    [Theory]
    [InlineData("sev-guest", "AMD SEV")]
    [InlineData("sev-snp-guest", "AMD SEV-SNP")]
    [InlineData("tdx-guest", "Intel TDX")]
    [InlineData("s390-pv-guest", "s390-pv-guest")]
    public void Guests_with_encrypted_memory_are_refused(string type, string name)
    {
        using var monitor = new Answers(("/machine confidential-guest-support", "/objects/cgs0"), ("/objects/cgs0 type", type));
        var e = Assert.Throws<GuestException>(() => Confidential.Refuse(monitor, CancellationToken.None));
        Assert.Equal(GuestFailure.Encrypted, e.Failure);
        Assert.Contains($"({name})", e.Message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', e.Message);
    }

    [Fact]
    public void The_older_way_to_say_it_is_understood()
    {
        using var monitor = new Answers(("/machine memory-encryption", "sev0"), ("/objects/sev0 type", "sev-guest"));
        Assert.Equal("AMD SEV", Confidential.Technology(monitor, CancellationToken.None));
    }

    [Fact]
    public void SEV_that_only_query_sev_reports_is_understood()
    {
        using var monitor = new Answers(("query-sev", "{\"enabled\": true}"));
        Assert.Equal("AMD SEV", Confidential.Technology(monitor, CancellationToken.None));
    }

    [Fact]
    public void Other_guests_are_not()
    {
        using var monitor = new Answers(("/machine confidential-guest-support", ""), ("/machine memory-encryption", ""), ("query-sev", "{\"enabled\": false}"));
        Confidential.Refuse(monitor, CancellationToken.None);
        using var silent = new Answers();
        Confidential.Refuse(silent, CancellationToken.None);
    }

    /// <summary>Answers qom-get by "path property" and other commands by name; refuses the rest.</summary>
    private sealed class Answers(params (string Question, string Answer)[] answers) : IGuestMonitor
    {
        public string Name => "a monitor";

        public IReadOnlyList<string> Remarks => [];

        public TimeSpan? LastStopByEvents => null;

        public JsonElement Qmp(string command, Action<Utf8JsonWriter>? arguments, CancellationToken ct)
        {
            var question = command;
            if (arguments is not null)
            {
                using var stream = new MemoryStream();
                using (var writer = new Utf8JsonWriter(stream))
                {
                    writer.WriteStartObject();
                    arguments(writer);
                    writer.WriteEndObject();
                }
                using var document = JsonDocument.Parse(stream.ToArray());
                question = $"{document.RootElement.Text("path")} {document.RootElement.Text("property")}";
            }
            foreach (var (asked, answer) in answers)
            {
                if (asked != question)
                    continue;
                using var document = JsonDocument.Parse(answer.StartsWith('{') ? answer : JsonSerializer.Serialize(answer));
                return document.RootElement.Clone();
            }
            throw new QmpRefusedException(command, "not known here");
        }

        public string Human(string commandLine, CancellationToken ct) => "";

        public void PassDescriptor(string name, int descriptor, CancellationToken ct) => throw new NotSupportedException();

        public long AddDescriptor(string note, int descriptor, CancellationToken ct) => throw new NotSupportedException();

        public RunState QueryState(CancellationToken ct) => new(true, "running");

        public void Stop(CancellationToken ct)
        {
        }

        public void Continue()
        {
        }

        public byte[]? ReadCpuNotes(CancellationToken ct, out string? reason)
        {
            reason = "none";
            return null;
        }

        public void Dispose()
        {
        }
    }
}
